"""ReLU units and an L1 penalty at a point that lies on kinks: more than one answer is right there."""

W = [[1.0, -2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
point = [2.0, 1.0, 0.0, 3.0]  # the first unit's sum is 0, and so is the third number


def f(x):
    """Σ max(0, W x)² / 2 + Σ max(0, W x) + 0.1 · Σ |x|"""
    units = [max(0.0, sum(w * v for w, v in zip(row, x, strict=True))) for row in W]
    return sum(u**2 / 2 + u for u in units) + 0.1 * sum(abs(v) for v in x)


def gradient(x):
    """With the slope of max(0, z) and of |z| at z = 0 taken as 0, as frameworks do."""
    total = [0.1 * ((v > 0) - (v < 0)) for v in x]
    for row in W:
        z = sum(w * v for w, v in zip(row, x, strict=True))
        if z > 0:
            total = [t + (z + 1) * w for t, w in zip(total, row, strict=True)]
    return total


def too_steep(x):
    """Outside of what both sides allow, at the kink of the third number."""
    a, b, c, d = gradient(x)
    return [a, b, c + 2.0, d]


if __name__ == "__main__":
    print("usage: python gradient_check.py kinks.py [--gradient too_steep]")
