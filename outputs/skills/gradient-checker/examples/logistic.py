"""Logistic regression on 60 tumours: the loss f, its gradient, and five gradients with a fault each."""

import csv
import math
from pathlib import Path

with Path(__file__).with_name("tumours.csv").open(encoding="utf-8", newline="") as file:
    rows = [list(map(float, row)) for row in csv.reader(file)]
X, y = [row[:-1] for row in rows], [row[-1] for row in rows]
PENALTY = 0.1  # weight decay

point = [0.1, -0.2, 0.3, 0.05, -0.1], 0.2  # weights and bias: anywhere but where everything is 0


def scores(w, b):
    """w · x + b of each tumour."""
    return [sum(w_j * x_j for w_j, x_j in zip(w, x, strict=True)) + b for x in X]


def f(w, b):
    """The mean of log(1 + eᶻ) - y z, and PENALTY / 2 · |w|²."""
    losses = [math.log1p(math.exp(z)) - y_i * z for z, y_i in zip(scores(w, b), y, strict=True)]
    return sum(losses) / len(X) + PENALTY / 2 * sum(w_j**2 for w_j in w)


def gradient(w, b):
    """Of the mean: (σ(z) - y) x and σ(z) - y, averaged; of the penalty: PENALTY · w."""
    errors = [1 / (1 + math.exp(-z)) - y_i for z, y_i in zip(scores(w, b), y, strict=True)]
    of_w = [sum(e * x[j] for e, x in zip(errors, X, strict=True)) / len(X) + PENALTY * w[j] for j in range(len(w))]
    return of_w, sum(errors) / len(X)


def wrong_sign(w, b):
    of_w, of_b = gradient(w, b)
    return [-g for g in of_w], -of_b


def no_mean(w, b):
    of_w, of_b = gradient(w, b)
    return [g * len(X) for g in of_w], of_b * len(X)


def no_penalty(w, b):
    of_w, of_b = gradient(w, b)
    return [g - PENALTY * w_j for g, w_j in zip(of_w, w, strict=True)], of_b


def no_bias(w, b):
    return gradient(w, b)[0], 0.0


def one_off(w, b):
    of_w, of_b = gradient(w, b)
    return [*of_w[1:], of_w[0]], of_b


if __name__ == "__main__":
    print("usage: python gradient_check.py logistic.py [--gradient no_mean]")
