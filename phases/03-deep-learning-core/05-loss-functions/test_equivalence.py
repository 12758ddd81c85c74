"""The proof: every loss, every reduction and every gradient against torch, with a random upstream gradient."""

import importlib.util
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import tensor
from torch.nn import functional

from shared.proof import assert_equivalent, assert_same_error, examples, numerical_gradient
from shared.proof import strategies as some
from shared.ship.one_file import one_file

HERE = Path(__file__).parent

LOG3 = math.log(3)
# As margins and δ these are met by no sum of eighths, so that rounding cannot decide on which side of a kink a twin
# stands; the kinks themselves have a test of their own.
ODD = [1 / math.pi, math.sqrt(2)]


@dataclass
class Call:
    """A call of a loss: `inputs` are what it is differentiated by, `rest` its other positional arguments."""

    name: str
    inputs: list[Any]
    rest: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def of(self, twin, inputs=None, **more):
        """(loss, [a gradient for each input])."""
        loss, gradient = getattr(twin, self.name)(*(inputs or self.inputs), *self.rest, **self.options, **more)
        return loss, list(gradient) if isinstance(gradient, tuple) else [gradient]


def eighths(low=-16, high=16):
    return st.integers(low, high).map(lambda k: k / 8)


EIGHTHS = eighths()


def vector(draw, n, elements=EIGHTHS):
    return draw(some.vectors(n, elements))


def matrix(draw, n, n_columns, elements=EIGHTHS):
    return draw(some.matrices(n, n_columns, elements))


def shares(n):
    return st.lists(st.integers(0, 4).map(lambda k: k / 4), min_size=n, max_size=n)


def sized(draw):
    """n_samples and n_classes (or n_dimensions); 1 is among both."""
    return draw(some.sizes(1, 4)), draw(some.sizes(1, 4))


def regression(name):
    def make(draw):
        n, _ = sized(draw)
        options = {"delta": draw(st.sampled_from([*ODD, 1.0]))} if name == "huber_loss" else {}
        return Call(name, [vector(draw, n)], (vector(draw, n),), options)

    return make


def logits_of_bce(draw):
    n, _ = sized(draw)
    z = vector(draw, n, eighths() | st.sampled_from([-1000.0, 1000.0]))
    weight = draw(st.sampled_from([1.0, 0.25, 3.0]))
    return Call("binary_cross_entropy_with_logits", [z], (draw(shares(n)),), {"pos_weight": weight})


def logits_of_cross_entropy(draw):
    n, n_classes = sized(draw)
    Z = matrix(draw, n, n_classes, eighths() | st.sampled_from([-1000.0, 1000.0]))
    ignored = draw(st.sampled_from([-100, 0, -1]))
    # the first label always counts, in every mean
    labels = [
        n_classes - 1,
        *draw(st.lists(st.sampled_from([*range(n_classes), ignored]), min_size=n - 1, max_size=n - 1)),
    ]
    options = {"label_smoothing": draw(st.sampled_from([0.0, 0.1, 1.0]))}
    if ignored != n_classes - 1:
        options["ignore_index"] = ignored
    else:
        labels = [max(label, 0) for label in labels]
    if draw(st.booleans()):
        options["weights"] = [*vector(draw, n_classes - 1, eighths(0)), 0.75]
    return Call("cross_entropy", [Z], (labels,), options)


def triplets(draw):
    n, size = sized(draw)
    return Call(
        "triplet_margin_loss",
        [matrix(draw, n, size) for _ in range(3)],
        options={"margin": draw(st.sampled_from(ODD))},
    )


def pairs(draw):
    n, size = sized(draw)
    inputs = [matrix(draw, n, size) for _ in range(2)]
    return Call(
        "cosine_embedding_loss", inputs, (signs(draw, n),), {"margin": draw(st.sampled_from([0.0, 1 / math.pi]))}
    )


def queries_and_keys(draw):
    n, size = sized(draw)
    inputs = [matrix(draw, n, size, eighths(1) | eighths(-16, -1)) for _ in range(2)]
    return Call("info_nce", inputs, options={"temperature": draw(st.sampled_from([0.1, 1.0]))})


def signs(draw, n):
    return draw(st.lists(st.sampled_from([-1, 1]), min_size=n, max_size=n))


def hinge(draw):
    n, _ = sized(draw)
    return Call("hinge_loss", [vector(draw, n)], (signs(draw, n),), {"margin": draw(st.sampled_from([0.5, 1.0]))})


def multi_margin(draw):
    n, n_classes = sized(draw)
    options = {"margin": draw(st.sampled_from([0.5, 1.0]))}
    return Call("multi_margin_loss", [matrix(draw, n, n_classes)], (draw(some.labels(n, n_classes)),), options)


def divergence(draw):
    n, n_classes = sized(draw)
    X = matrix(draw, n, n_classes, eighths(-40, -1) | st.just(-1000.0))
    log_target = draw(st.booleans())
    targets = matrix(draw, n, n_classes, eighths(-40, 0) if log_target else eighths(0, 8))
    return Call("kl_div", [X], (targets,), {"log_target": log_target})


def textbook_binary(draw):
    n, _ = sized(draw)
    return Call("textbook_binary_cross_entropy", [vector(draw, n, eighths(-64, 64))], (draw(shares(n)),))


def textbook_categorical(draw):
    n, n_classes = sized(draw)
    labels = draw(some.labels(n, n_classes))
    return Call("textbook_cross_entropy", [matrix(draw, n, n_classes, eighths(-64, 64))], (labels,))


MAKERS = {
    "mse_loss": regression("mse_loss"),
    "l1_loss": regression("l1_loss"),
    "huber_loss": regression("huber_loss"),
    "textbook_binary_cross_entropy": textbook_binary,
    "binary_cross_entropy_with_logits": logits_of_bce,
    "hinge_loss": hinge,
    "textbook_cross_entropy": textbook_categorical,
    "cross_entropy": logits_of_cross_entropy,
    "multi_margin_loss": multi_margin,
    "kl_div": divergence,
    "cosine_embedding_loss": pairs,
    "triplet_margin_loss": triplets,
    "info_nce": queries_and_keys,
}
LOSSES = {name: st.composite(make)() for name, make in MAKERS.items()}


def upstream_like(loss, rng):
    """A random gradient of the loss: never the 1 of `.backward()`, under which mistakes cancel."""
    return [upstream_like(item, rng) for item in loss] if isinstance(loss, list) else rng.uniform(-3, 3)


def inner(a, b):
    return sum(map(inner, a, b)) if isinstance(a, list) else a * b


def against(twin, witness):
    """The two sides of a comparison with something that is no twin."""
    return {"names": (twin.__name__.rpartition(".")[2], witness)}


def with_input(twin, call, i, upstream):
    """What is differentiated, as a function of the i-th input alone; its slope by each loss is `upstream`."""

    def weighted(moved):
        return inner(upstream, call.of(twin, [*call.inputs[:i], moved, *call.inputs[i + 1 :]], reduction="none")[0])

    return weighted


def one_of_each(seed=0):
    """A call of each loss at points drawn from a continuous distribution, so that none lies at a kink."""
    rng = Random(seed)

    def row(n):
        return [rng.gauss(0, 1.5) for _ in range(n)]

    def rows():
        return [row(3) for _ in range(4)]

    def log_shares():
        return [[-abs(v) - 0.01 for v in row(3)] for _ in range(4)]

    def share():
        return [rng.random() for _ in range(4)]

    def sign():
        return [rng.choice([-1, 1]) for _ in range(4)]

    def label():
        return [rng.randrange(3) for _ in range(4)]

    smoothed = {"label_smoothing": 0.2, "weights": [0.5, 2.0, 1.5]}
    calls = [
        Call("mse_loss", [row(4)], (row(4),)),
        Call("l1_loss", [row(4)], (row(4),)),
        Call("huber_loss", [row(4)], (row(4),), {"delta": 0.7}),
        Call("textbook_binary_cross_entropy", [row(4)], (share(),)),
        Call("binary_cross_entropy_with_logits", [row(4)], (share(),), {"pos_weight": 2.5}),
        Call("hinge_loss", [row(4)], (sign(),)),
        Call("textbook_cross_entropy", [rows()], (label(),)),
        Call("cross_entropy", [rows()], ([-100, *label()[1:]],), smoothed),
        Call("multi_margin_loss", [rows()], (label(),)),
        Call("kl_div", [log_shares()], (log_shares(),), {"log_target": True}),
        Call("cosine_embedding_loss", [rows(), rows()], (sign(),), {"margin": -0.3}),
        Call("triplet_margin_loss", [rows(), rows(), rows()], (), {"margin": 3.0}),
        Call("info_nce", [rows(), rows()], (), {"temperature": 0.3}),
    ]
    return {call.name: call for call in calls}


# ---- numbers worked out by hand

E6 = 1e-6  # torch's epsilon in a distance
KNOWN = {  # call, loss, gradients; from an upstream gradient of 1
    "mse": (Call("mse_loss", [[2.5, 0.0, 1.0]], ([0.5, 1.0, 1.0],)), 5 / 3, [[4 / 3, -2 / 3, 0.0]]),
    "mse, too large for a square": (Call("mse_loss", [[1e200]], ([0.0],)), math.inf, [[2e200]]),
    "l1, at its kink 0": (Call("l1_loss", [[2.5, 0.0, 1.0]], ([0.5, 1.0, 1.0],)), 1.0, [[1 / 3, -1 / 3, 0.0]]),
    "huber": (
        Call("huber_loss", [[0.5, -3.0, 2.0, -2.0]], ([0.0] * 4,), {"delta": 2.0, "reduction": "none"}),
        [0.125, 4.0, 2.0, 2.0],
        [[0.5, -2.0, 2.0, -2.0]],
    ),
    "huber, δ is 1 unless you say": (Call("huber_loss", [[3.0]], ([0.0],)), 2.5, [[1.0]]),
    "binary, σ = 3/4": (
        Call("binary_cross_entropy_with_logits", [[LOG3, LOG3]], ([1.0, 0.0],), {"reduction": "none"}),
        [math.log(4 / 3), math.log(4)],
        [[-0.25, 0.75]],
    ),
    "binary, a positive counts 8 times": (
        Call("binary_cross_entropy_with_logits", [[LOG3, LOG3]], ([1.0, 0.0],), {"pos_weight": 8.0}),
        (8 * math.log(4 / 3) + math.log(4)) / 2,
        [[-1.0, 0.375]],
    ),
    "binary, soft target": (Call("binary_cross_entropy_with_logits", [[0.0]], ([0.25],)), math.log(2), [[0.25]]),
    "binary, ±1000": (
        Call("binary_cross_entropy_with_logits", [[1000.0, -1000.0] * 2], ([1, 0, 0, 1],), {"reduction": "sum"}),
        2000.0,
        [[0.0, 0.0, 1.0, -1.0]],
    ),
    "hinge, short of the margin, at it, beyond": (
        Call("hinge_loss", [[0.25, 1.0, 3.0, 1.0]], ([1, 1, 1, -1],), {"reduction": "none"}),
        [0.75, 0.0, 0.0, 2.0],
        [[-1.0, -1.0, 0.0, 1.0]],
    ),
    "cross-entropy, p = (1/4, 3/4)": (
        Call("cross_entropy", [[[0.0, LOG3], [LOG3, 0.0]]], ([0, 0],), {"reduction": "none"}),
        [math.log(4), math.log(4 / 3)],
        [[[-0.75, 0.75], [-0.25, 0.25]]],
    ),
    "cross-entropy, ±1000": (
        Call("cross_entropy", [[[1000.0, -1000.0], [1000.0, -1000.0]]], ([0, 1],), {"reduction": "none"}),
        [0.0, 2000.0],
        [[[0.0, 0.0], [1.0, -1.0]]],
    ),
    "cross-entropy, one class": (Call("cross_entropy", [[[5.0]]], ([0],)), 0.0, [[[0.0]]]),
    "cross-entropy, True is class 1": (
        Call("cross_entropy", [[[0.0, LOG3]]], ([True],)),
        math.log(4 / 3),
        [[[0.25, -0.25]]],
    ),
    "cross-entropy, the mean of weights 1 and 3": (
        Call("cross_entropy", [[[0.0, 0.0], [0.0, LOG3]]], ([0, 1],), {"weights": [1.0, 3.0]}),
        (math.log(2) + 3 * math.log(4 / 3)) / 4,
        [[[-0.125, 0.125], [0.1875, -0.1875]]],
    ),
    "cross-entropy, a class of weight 0": (
        Call("cross_entropy", [[[0.0, LOG3], [0.0, LOG3]]], ([0, 1],), {"weights": [1.0, 0.0]}),
        math.log(4),
        [[[-0.75, 0.75], [0.0, 0.0]]],
    ),
    "cross-entropy, one of two ignored": (
        Call("cross_entropy", [[[0.0, LOG3], [7.0, 9.0]]], ([0, -100],)),
        math.log(4),
        [[[-0.75, 0.75], [0.0, 0.0]]],
    ),
    "cross-entropy, all ignored, no mean": (
        Call("cross_entropy", [[[0.0, LOG3]]], ([-100],), {"reduction": "sum"}),
        0.0,
        [[[0.0, 0.0]]],
    ),
    "cross-entropy, ignored is a class": (
        Call("cross_entropy", [[[0.0, LOG3], [7.0, 9.0]]], ([0, 1],), {"ignore_index": 1}),
        math.log(4),
        [[[-0.75, 0.75], [0.0, 0.0]]],
    ),
    "cross-entropy, smoothed by a fifth": (
        Call("cross_entropy", [[[0.0, LOG3]]], ([0],), {"label_smoothing": 0.2}),
        0.9 * math.log(4) + 0.1 * math.log(4 / 3),
        [[[-0.65, 0.65]]],
    ),
    "multi-margin, at the margin, within, beyond": (
        Call("multi_margin_loss", [[[2.0, 1.0, 1.5, -3.0]]], ([0],)),
        0.125,
        [[[-0.25, 0.0, 0.25, 0.0]]],
    ),
    "multi-margin, all equal": (Call("multi_margin_loss", [[[1.0, 1.0]]], ([1],)), 0.5, [[[0.5, -0.5]]]),
    "kl, none": (
        Call("kl_div", [[[-LOG3, -1.0]]], ([[1.0, 0.0]],), {"reduction": "none"}),
        [[LOG3, 0.0]],
        [[[-1.0, -0.0]]],
    ),
    "kl, none, an upstream for each element": (
        Call(
            "kl_div",
            [[[-1.0, -2.0], [-1.0, -1.0]]],
            ([[1.0, 1.0], [0.5, 1.0]],),
            {"reduction": "none", "upstream": [[1.0, 2.0], [4.0, 8.0]]},
        ),
        [[1.0, 2.0], [0.5 - math.log(2) / 2, 1.0]],
        [[[-1.0, -2.0], [-2.0, -8.0]]],
    ),
    "kl, a mean over four elements": (
        Call("kl_div", [[[-LOG3, -1.0], [-1.0, -LOG3]]], ([[1.0, 0.0], [0.0, 1.0]],)),
        LOG3 / 2,
        [[[-0.25, 0.0], [0.0, -0.25]]],
    ),
    "kl, a mean over two samples": (
        Call("kl_div", [[[-LOG3, -1.0], [-1.0, -LOG3]]], ([[1.0, 0.0], [0.0, 1.0]],), {"reduction": "batchmean"}),
        LOG3,
        [[[-0.5, 0.0], [0.0, -0.5]]],
    ),
    "kl, log targets": (
        Call("kl_div", [[[-1.0, -1.0]]], ([[-LOG3, -1000.0]],), {"log_target": True, "reduction": "sum"}),
        (1 - LOG3) / 3,
        [[[-1 / 3, -0.0]]],
    ),
    "triplet, one dimension": (
        Call("triplet_margin_loss", [[[0.0]], [[-1.0]], [[-1.5]]]),
        0.5,
        [[[0.0]], [[-1.0]], [[1.0]]],
    ),
    "triplet, far enough": (
        Call("triplet_margin_loss", [[[0.0]], [[-1.0]], [[-3.0]]]),
        0.0,
        [[[0.0]], [[0.0]], [[0.0]]],
    ),
    "triplet, positive and anchor in one place": (
        Call("triplet_margin_loss", [[[0.0, 0.0]], [[0.0, 0.0]], [[-0.6 + E6, -0.8 + E6]]], (), {"margin": 3.0}),
        2 + E6 * math.sqrt(2),
        [
            [[math.sqrt(0.5) - 0.6, math.sqrt(0.5) - 0.8]],
            [[-math.sqrt(0.5), -math.sqrt(0.5)]],
            [[0.6, 0.8]],
        ],
    ),
    "triplet, exactly at its kink, and a distance of exactly 0": (
        Call("triplet_margin_loss", [[[0.0]], [[E6]], [[-1.0]]], (), {"margin": 1.0 + E6}),
        0.0,
        [[[-1.0]], [[0.0]], [[1.0]]],
    ),
    "info_nce, one sample has no rival": (
        Call("info_nce", [[[1.0, 2.0]], [[-3.0, 1.0]]], (), {"temperature": 0.1}),
        0.0,
        [[[0.0, 0.0]], [[0.0, 0.0]]],
    ),
    "info_nce, the shortest vector that has a direction": (
        Call("info_nce", [[[1e-12]], [[-1e-12]]], (), {"temperature": 1.0}),
        0.0,
        [[[0.0]], [[0.0]]],
    ),
    "info_nce, two orthogonal pairs": (
        Call("info_nce", [[[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 4.0]]], (), {"temperature": 1 / LOG3}),
        math.log(4 / 3),
        # p = 3/4 for the right key: dJ/d(cos) = -+ log 3 / 8, along the other axis, divided by the row's length
        [[[0.0, LOG3 / 16], [LOG3 / 8, 0.0]], [[0.0, LOG3 / 8], [LOG3 / 32, 0.0]]],
    ),
}


@pytest.mark.parametrize("what", KNOWN)
def test_by_hand(build_it, use_it, what):
    call, loss, gradients = KNOWN[what]
    for twin in (build_it, use_it):
        assert_equivalent(
            dict(zip(("loss", "gradients"), call.of(twin), strict=True)),
            {"loss": loss, "gradients": gradients},
            **against(twin, "by hand"),
        )


def test_cosine_embedding_by_hand(build_it, use_it):
    """cos((3, 4), (1, 0)) = 0.6; the slope is what of one unit vector is perpendicular to the other, by length."""
    for twin in (build_it, use_it):
        loss, gradients = twin.cosine_embedding_loss(
            [[3.0, 4.0]] * 4,
            [[1.0, 0.0]] * 4,
            [1, -1, -1, -1],
            margin=0.5,
            reduction="none",
            upstream=[1.0, 1.0, 0.0, 2.0],
        )
        by_hand = (
            [0.4, 0.1, 0.1, 0.1],
            (
                [[-0.128, 0.096], [0.128, -0.096], [0, 0], [0.256, -0.192]],
                [[0.0, -0.8], [0.0, 0.8], [0.0, 0.0], [0.0, 1.6]],
            ),
        )
        # torch's epsilon of 1e-12 in a squared length of 1
        assert_equivalent((loss, gradients), by_hand, rtol=0.0, atol=5e-12, **against(twin, "by hand"))
        kink = twin.cosine_embedding_loss([[3.0, 0.0], [3.0, 0.0]], [[0.0, 2.0], [0.0, 2.0]], [-1, 1])
        assert_equivalent(
            kink,
            (0.5, ([[0.0, 1 / 6], [0.0, -1 / 6]], [[0.25, 0.0], [-0.25, 0.0]])),
            **against(twin, "by hand"),
        )
        # orthogonal, so at the kink; the dot product of the two unit vectors may round to -6e-17
        a, b = [0.0, 1.125, -0.75, 1.125], [0.125, 0.125, 1.875, 1.125]
        slope = [v / math.hypot(*a) / math.hypot(*b) for v in b]
        _, (of_a, _) = twin.cosine_embedding_loss([a], [b], [-1])
        names = against(twin, "b / (|a| |b|), as a·b is 0, which is the margin")
        assert_equivalent(of_a, [slope], **names)
        _, (of_zero, _) = twin.cosine_embedding_loss([[0.0, 0.0]], [[3.0, 4.0]], [1])
        # torch's epsilon is a 32-bit float, so a length of 0 counts as 1e-6 (1 - 2e-9)
        assert_equivalent(of_zero, [[-0.6e6, -0.8e6]], rtol=1e-8, **against(twin, "b / |b| divided by 1e-6"))


# ---- what is refused


def loss_of(name, *arguments, **options):
    return lambda twin: getattr(twin, name)(*arguments, **options)


VECTORS = {
    "mse_loss": [0.5, 1.0],
    "l1_loss": [0.5, 1.0],
    "huber_loss": [0.5, 1.0],
    "textbook_binary_cross_entropy": [1.0, 0.0],
    "binary_cross_entropy_with_logits": [1.0, 0.0],
    "hinge_loss": [1, -1],
}
MATRICES = {
    "textbook_cross_entropy": [0, 1],
    "cross_entropy": [0, 1],
    "multi_margin_loss": [0, 1],
    "kl_div": [[0.5, 0.5], [0.5, 0.5]],
}
BATCH = [[-0.5, -1.0], [-2.0, -0.25]]
REFUSED = {
    "reduce_losses, empty": loss_of("reduce_losses", []),
    "reduce_losses, a matrix": loss_of("reduce_losses", [[1.0]]),
    "reduce_losses, batchmean": loss_of("reduce_losses", [1.0], "batchmean"),
    "reduce_losses, divisor 0": loss_of("reduce_losses", [1.0], divisor=0.0),
    "log_sum_exp, empty": loss_of("log_sum_exp", []),
    "log_sum_exp, infinite": loss_of("log_sum_exp", [1.0, -math.inf]),
    "log_softmax, a vector": loss_of("log_softmax", [1.0, 2.0]),
    "log_softmax, no columns": loss_of("log_softmax", [[], []]),
    "log_softmax, ragged": loss_of("log_softmax", [[1.0], [1.0, 2.0]]),
    "huber_loss, δ 0": loss_of("huber_loss", [1.0], [0.0], delta=0.0),
    "huber_loss, δ infinite": loss_of("huber_loss", [1.0], [0.0], delta=math.inf),
    "binary, target 2": loss_of("binary_cross_entropy_with_logits", [1.0], [2.0]),
    "binary, target -1": loss_of("binary_cross_entropy_with_logits", [1.0], [-1.0]),
    "textbook binary, target 2": loss_of("textbook_binary_cross_entropy", [1.0], [2.0]),
    "binary, pos_weight 0": loss_of("binary_cross_entropy_with_logits", [1.0], [1.0], pos_weight=0.0),
    "binary, pos_weight NaN": loss_of("binary_cross_entropy_with_logits", [1.0], [1.0], pos_weight=math.nan),
    "hinge, label 0": loss_of("hinge_loss", [1.0], [0]),
    "hinge, margin 0": loss_of("hinge_loss", [1.0], [1], margin=0.0),
    "cross_entropy, label too large": loss_of("cross_entropy", BATCH, [0, 2]),
    "cross_entropy, label -1": loss_of("cross_entropy", BATCH, [0, -1]),
    "cross_entropy, label a float": loss_of("cross_entropy", BATCH, [0, 1.0]),
    "textbook_cross_entropy, label too large": loss_of("textbook_cross_entropy", BATCH, [0, 2]),
    "textbook_cross_entropy, nothing is ignored": loss_of("textbook_cross_entropy", BATCH, [0, -100]),
    "cross_entropy, weights missing": loss_of("cross_entropy", BATCH, [0, 1], weights=[1.0]),
    "cross_entropy, weight negative": loss_of("cross_entropy", BATCH, [0, 1], weights=[1.0, -0.5]),
    "cross_entropy, weight infinite": loss_of("cross_entropy", BATCH, [0, 1], weights=[1.0, math.inf]),
    "cross_entropy, smoothing below 0": loss_of("cross_entropy", BATCH, [0, 1], label_smoothing=-0.1),
    "cross_entropy, smoothing above 1": loss_of("cross_entropy", BATCH, [0, 1], label_smoothing=1.1),
    "cross_entropy, all ignored": loss_of("cross_entropy", BATCH, [-100, -100]),
    "cross_entropy, all weights 0": loss_of("cross_entropy", BATCH, [0, 0], weights=[0.0, 1.0]),
    "multi_margin_loss, label -1": loss_of("multi_margin_loss", BATCH, [0, -1]),
    "multi_margin_loss, margin 0": loss_of("multi_margin_loss", BATCH, [0, 1], margin=0.0),
    "kl_div, probabilities for logarithms": loss_of("kl_div", [[0.5, 0.5]], [[0.5, 0.5]]),
    "kl_div, logarithms for probabilities": loss_of("kl_div", [[-1.0, -1.0]], [[-1.0, -1.0]]),
    "kl_div, a target above 1": loss_of("kl_div", [[-1.0, -1.0]], [[1.5, 0.0]]),
    "kl_div, probabilities for log targets": loss_of("kl_div", [[-1.0, -1.0]], [[0.5, 0.5]], log_target=True),
    "kl_div, upstream of other shape": loss_of(
        "kl_div", BATCH, MATRICES["kl_div"], reduction="none", upstream=[1.0] * 4
    ),
    "kl_div, a matrix upstream of a mean": loss_of("kl_div", BATCH, MATRICES["kl_div"], upstream=BATCH),
    "kl_div, targets too narrow": loss_of("kl_div", BATCH, [[0.5], [0.5]]),
    "cosine, shapes": loss_of("cosine_embedding_loss", BATCH, [[1.0, 2.0]], [1, 1]),
    "cosine, first a vector": loss_of("cosine_embedding_loss", [1.0], [[1.0]], [1]),
    "cosine, labels missing": loss_of("cosine_embedding_loss", BATCH, BATCH, [1]),
    "cosine, label 0": loss_of("cosine_embedding_loss", BATCH, BATCH, [1, 0]),
    "cosine, margin above 1": loss_of("cosine_embedding_loss", BATCH, BATCH, [1, -1], margin=1.5),
    "cosine, margin below -1": loss_of("cosine_embedding_loss", BATCH, BATCH, [1, -1], margin=-1.5),
    "cosine, reduction": loss_of("cosine_embedding_loss", BATCH, BATCH, [1, -1], reduction="batchmean"),
    "triplet, anchors a vector": loss_of("triplet_margin_loss", [1.0], BATCH, BATCH),
    "triplet, positives": loss_of("triplet_margin_loss", BATCH, BATCH[:1], BATCH),
    "triplet, negatives": loss_of("triplet_margin_loss", BATCH, BATCH, [[1.0], [2.0]]),
    "triplet, margin 0": loss_of("triplet_margin_loss", BATCH, BATCH, BATCH, margin=0.0),
    "triplet, reduction": loss_of("triplet_margin_loss", BATCH, BATCH, BATCH, reduction="batchmean"),
    "info_nce, queries a vector": loss_of("info_nce", [1.0], BATCH, temperature=1.0),
    "info_nce, as many keys": loss_of("info_nce", BATCH, BATCH[:1], temperature=1.0),
    "info_nce, keys too narrow": loss_of("info_nce", BATCH, [[1.0], [2.0]], temperature=1.0),
    "info_nce, a key NaN": loss_of("info_nce", BATCH, [[1.0, 2.0], [math.nan, 1.0]], temperature=1.0),
    "info_nce, temperature 0": loss_of("info_nce", BATCH, BATCH, temperature=0.0),
    "info_nce, a query of zeros": loss_of("info_nce", [[0.0, 0.0], [1.0, 0.0]], BATCH, temperature=1.0),
    "info_nce, a key of zeros": loss_of("info_nce", BATCH, [[1.0, 0.0], [0.0, 0.0]], temperature=1.0),
    "info_nce, reduction": loss_of("info_nce", BATCH, BATCH, temperature=1.0, reduction="batchmean"),
}
for loss, good in VECTORS.items():
    REFUSED |= {
        f"{loss}, empty": loss_of(loss, [], []),
        f"{loss}, a matrix": loss_of(loss, [[1.0], [2.0]], good),
        f"{loss}, NaN": loss_of(loss, [1.0, math.nan], good),
        f"{loss}, infinite": loss_of(loss, [1.0, math.inf], good),
        f"{loss}, targets missing": loss_of(loss, [1.0, 2.0], good[:1]),
        f"{loss}, targets too many": loss_of(loss, [1.0], good),
        f"{loss}, reduction": loss_of(loss, [1.0, 2.0], good, reduction="average"),
        f"{loss}, a list upstream of a mean": loss_of(loss, [1.0, 2.0], good, upstream=[1.0, 1.0]),
        f"{loss}, upstream missing": loss_of(loss, [1.0, 2.0], good, reduction="none", upstream=[1.0]),
        f"{loss}, upstream NaN": loss_of(loss, [1.0, 2.0], good, upstream=math.nan),
    }
    if loss != "hinge_loss":
        REFUSED[f"{loss}, target NaN"] = loss_of(loss, [1.0, 2.0], [0.5, math.nan])
for loss, good in MATRICES.items():
    REFUSED |= {
        f"{loss}, empty": loss_of(loss, [], []),
        f"{loss}, a vector": loss_of(loss, [-1.0, -2.0], good),
        f"{loss}, ragged": loss_of(loss, [[-1.0, -2.0], [-1.0]], good),
        f"{loss}, NaN": loss_of(loss, [[-1.0, -2.0], [math.nan, -1.0]], good),
        f"{loss}, targets missing": loss_of(loss, BATCH, good[:1]),
        f"{loss}, reduction": loss_of(loss, BATCH, good, reduction="average"),
        f"{loss}, upstream infinite": loss_of(loss, BATCH, good, upstream=-math.inf),
    }


@pytest.mark.parametrize("what", REFUSED)
def test_refused(build_it, use_it, what):
    assert_same_error(REFUSED[what], build_it, use_it)
    with pytest.raises(ValueError) as refused:
        REFUSED[what](build_it)
    assert "zip()" not in str(refused.value), "say what was expected and what came: zip() speaks of its own arguments"


EXPLAINED = {
    "cross_entropy, all ignored": "ignored",
    "cross_entropy, all weights 0": "weighs 0",
    "kl_div, reduction": "batchmean",
    "multi_margin_loss, label -1": "0 to 1",
}


@pytest.mark.parametrize("what", EXPLAINED)
def test_what_is_refused_is_explained(build_it, use_it, what):
    for twin in (build_it, use_it):
        with pytest.raises(ValueError, match=EXPLAINED[what]):
            REFUSED[what](twin)


# ---- where the textbook forms break


BREAKS = {  # the textbook call; what Python raises; what torch says
    "binary, e^800": ("textbook_binary_cross_entropy", [-800.0], [1.0], OverflowError, math.inf),
    "binary, surely right": ("textbook_binary_cross_entropy", [40.0], [1.0], ValueError, math.nan),
    "binary, surely wrong": ("textbook_binary_cross_entropy", [40.0], [0.0], ValueError, math.inf),
    "categorical, e^1000": ("textbook_cross_entropy", [[1000.0, 0.0]], [0], OverflowError, math.nan),
    "categorical, 0 / 0": ("textbook_cross_entropy", [[-1000.0, -1000.0]], [0], ZeroDivisionError, math.nan),
    "categorical, log 0": ("textbook_cross_entropy", [[-800.0, 0.0]], [0], ValueError, math.inf),
}


@pytest.mark.parametrize("what", BREAKS)
def test_where_the_textbook_forms_break(build_it, use_it, what):
    """Python raises; torch goes on with NaN or inf, and with a gradient of NaN; the stable form has the answer."""
    name, logits, targets, error, value = BREAKS[what]
    with pytest.raises(error):
        getattr(build_it, name)(logits, targets)
    loss, gradient = getattr(use_it, name)(logits, targets)
    assert_equivalent(loss, value, names=("use_it", "expected"))
    flat = gradient[0] if isinstance(gradient[0], list) else gradient
    assert any(not math.isfinite(g) for g in flat)
    stable = name.removeprefix("textbook_") + ("_with_logits" if "binary" in name else "")
    for twin in (build_it, use_it):
        loss, gradient = getattr(twin, stable)(logits, targets)
        flat = gradient[0] if isinstance(gradient[0], list) else gradient
        assert math.isfinite(loss) and all(map(math.isfinite, flat))


def test_the_textbook_form_is_wrong_before_it_breaks(build_it, use_it):
    for twin in (build_it, use_it):
        loss, [slope] = twin.textbook_binary_cross_entropy([36.0], [0.0])
        right, [right_slope] = twin.binary_cross_entropy_with_logits([36.0], [0.0])
        assert_equivalent((right, right_slope), (36.0, 1.0), **against(twin, "log(1 + e³⁶) and σ(36)"))
        assert 0.03 < loss - right < 0.06
        assert abs(slope - right_slope) < 0.06


def test_small_losses_keep_their_digits(build_it):
    """e⁻⁴⁰ is lost in 1 + e⁻⁴⁰ and in σ(40) - 1, but not in log1p and in σ(-40). (torch's slope is 0 here.)"""
    for z, t in ((40.0, 1.0), (-40.0, 0.0)):
        loss, [slope] = build_it.binary_cross_entropy_with_logits([z], [t])
        found = {"loss": loss / math.exp(-40), "slope": slope / math.exp(-40)}
        assert_equivalent(found, {"loss": 1.0, "slope": -1.0 if t else 1.0}, names=("build_it", "in units of e⁻⁴⁰"))


# ---- truths that neither twin wrote


def test_a_uniform_guess_costs_the_logarithm_of_n_classes(build_it, use_it):
    for twin in (build_it, use_it):
        for n in (1, 2, 10):
            found = {
                "cross-entropy": twin.cross_entropy([[3.5] * n], [n - 1])[0],
                "log-sum-exp": twin.log_sum_exp([0.0] * n),
                "info_nce": twin.info_nce([[1.0, 2.0]] * n, [[2.0, -1.0]] * n, temperature=0.1)[0],
                "all -1000": twin.log_sum_exp([-1000.0] * n) + 1000,
            }
            assert_equivalent(found, dict.fromkeys(found, math.log(n)), **against(twin, "log n"))


@given(st.data())
@examples(6)
def test_the_losses_are_relatives(build_it, use_it, data):
    """Identities that tie one loss to another."""
    n = data.draw(some.sizes(1, 4))
    z, t = vector(data.draw, n), vector(data.draw, n)
    targets = data.draw(shares(n))
    Z, labels = matrix(data.draw, n, 3), data.draw(some.labels(n, 3))
    for twin in (build_it, use_it):
        half_square, errors = [g / 2 for g in twin.mse_loss(z, t)[1]], twin.mse_loss(z, t)[0] / 2
        found = {"huber, δ large": twin.huber_loss(z, t, delta=1e3)}
        expected = {"huber, δ large": (errors, half_square)}
        two_classes, both = twin.cross_entropy([[0.0, v] for v in z], [v > 0.5 for v in targets])
        found["two classes"] = two_classes, [row[1] for row in both]
        expected["two classes"] = twin.binary_cross_entropy_with_logits(z, [float(v > 0.5) for v in targets])
        one_hot = [[float(k == label) for k in range(3)] for label in labels]
        found["cross-entropy is KL to a one-hot row"] = twin.cross_entropy(Z, labels)[0]
        expected["cross-entropy is KL to a one-hot row"] = twin.kl_div(
            twin.log_softmax(Z), one_hot, reduction="batchmean"
        )[0]
        found["rows of p - y sum to 0"] = [sum(row) for row in twin.cross_entropy(Z, labels)[1]]
        expected["rows of p - y sum to 0"] = [0.0] * n
        assert_equivalent(found, expected, **against(twin, "another loss"))


@given(st.lists(eighths(), min_size=3, max_size=3), st.sampled_from([0.25, 1.0, 2.0]))
@examples(10)
def test_smooth_l1_is_huber_divided_by_delta(build_it, use_it, errors, delta):
    for twin in (build_it, use_it):
        loss, _ = twin.huber_loss(errors, [0.0] * 3, delta=delta, reduction="none")
        smooth = functional.smooth_l1_loss(
            tensor(errors).double(), tensor([0.0] * 3).double(), beta=delta, reduction="none"
        )
        assert_equivalent([v / delta for v in loss], smooth.tolist(), **against(twin, "smooth_l1_loss"))


def test_weights_count_as_repetitions(build_it, use_it):
    Z, labels = [[0.5, -1.0, 2.0], [1.0, 0.0, -0.5]], [2, 0]
    z, t = [0.5, -2.0], [1.0, 0.0]
    for twin in (build_it, use_it):
        found = {
            "class weights": twin.cross_entropy(Z, labels, weights=[3.0, 1.0, 2.0])[0],
            "pos_weight": twin.binary_cross_entropy_with_logits(z, t, pos_weight=4.0, reduction="sum")[0],
        }
        repeated = {
            "class weights": twin.cross_entropy([Z[0]] * 2 + [Z[1]] * 3, [2, 2, 0, 0, 0])[0],
            "pos_weight": twin.binary_cross_entropy_with_logits([0.5] * 4 + [-2.0], [1.0] * 4 + [0.0], reduction="sum")[
                0
            ],
        }
        assert_equivalent(found, repeated, **against(twin, "repeated samples"))


def test_what_embeddings_may_not_feel(build_it, use_it):
    """Shifting a triplet, or stretching a vector whose cosine counts, changes nothing: so says the gradient."""
    call = one_of_each()["triplet_margin_loss"]
    a, b = one_of_each()["info_nce"].inputs
    for twin in (build_it, use_it):
        _, (of_a, of_p, of_n) = call.of(twin)[0], call.of(twin)[1]
        shifted = [[x + y + z for x, y, z in zip(*rows, strict=True)] for rows in zip(of_a, of_p, of_n, strict=True)]
        _, (of_q, of_k) = twin.info_nce(a, b, temperature=0.3)
        stretched = [inner(g, v) for g, v in zip([*of_q, *of_k], [*a, *b], strict=True)]
        assert_equivalent(
            {"shifted": shifted, "stretched": stretched},
            {"shifted": [[0.0] * 3] * 4, "stretched": [0.0] * 8},
            **against(twin, "nothing"),
        )


def test_inputs_are_left_as_they_are(build_it, use_it):
    for name, call in one_of_each().items():
        before = json.dumps([call.inputs, call.rest])
        for twin in (build_it, use_it):
            loss, _ = call.of(twin)
            assert isinstance(loss, float), f"{twin.__name__}.{name}"
            assert json.dumps([call.inputs, call.rest]) == before, f"{twin.__name__}.{name} changed what it was given"


# ---- values and gradients


@pytest.mark.parametrize("name", LOSSES)
@given(st.data())
@examples(12)
def test_loss_and_gradients(build_it, use_it, name, data):
    call = data.draw(LOSSES[name], label="call")
    rng = Random(data.draw(some.seeds(), label="seed of the upstream gradient"))
    sides = {}, {}
    for reduction in ("none", "sum", "mean", *(["batchmean"] if name == "kl_div" else [])):
        upstream = upstream_like(call.of(build_it, reduction=reduction)[0], rng)
        for side, twin in zip(sides, (build_it, use_it), strict=True):
            loss, gradients = call.of(twin, reduction=reduction, upstream=upstream)
            side[f"{reduction}: loss"], side[f"{reduction}: gradients"] = loss, gradients
            if reduction == "none":  # one number for all losses
                side["none: gradients of 2.5 times each loss"] = call.of(twin, reduction="none", upstream=2.5)[1]
    assert_equivalent(*sides)


@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_is_the_default(build_it, use_it, name):
    call = one_of_each()[name]
    for twin in (build_it, use_it):
        assert_equivalent(call.of(twin), call.of(twin, reduction="mean", upstream=1.0), **against(twin, "mean, from 1"))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_against_finite_differences(build_it, name):
    for seed in range(3):
        call = one_of_each(seed)[name]
        upstream = upstream_like(call.of(build_it, reduction="none")[0], Random(seed))
        _, gradients = call.of(build_it, reduction="none", upstream=upstream)
        witness = [numerical_gradient(with_input(build_it, call, i, upstream), at) for i, at in enumerate(call.inputs)]
        # the truncation and rounding of finite differences
        assert_equivalent(gradients, witness, rtol=1e-5, atol=1e-7, names=("build_it", "finite differences"))


@given(st.lists(some.floats(), min_size=1, max_size=5), some.seeds())
@examples(20)
def test_reduce_losses(build_it, use_it, losses, seed):
    rng = Random(seed)
    sides = {}, {}
    each = upstream_like(losses, rng)
    for side, twin in zip(sides, (build_it, use_it), strict=True):
        side["none"] = twin.reduce_losses(losses, "none", each)
        side["none, one number"] = twin.reduce_losses(losses, "none", each[0])
        for reduction in ("sum", "mean"):
            side[reduction] = twin.reduce_losses(losses, reduction, each[0])
            side[f"{reduction}, divisor"] = twin.reduce_losses(losses, reduction, each[0], divisor=2.5)
        side["default"] = twin.reduce_losses(losses)
    assert_equivalent(*sides)


@given(st.data())
@examples(20)
def test_log_sum_exp_and_log_softmax(build_it, use_it, data):
    n, n_classes = sized(data.draw)
    Z = matrix(data.draw, n, n_classes, some.floats(-1000, 1000) | st.sampled_from([-1000.0, 1000.0]))
    found = []
    for twin in (build_it, use_it):
        found.append({"log_sum_exp": [twin.log_sum_exp(row) for row in Z], "log_softmax": twin.log_softmax(Z)})
        total = [sum(map(math.exp, row)) for row in found[-1]["log_softmax"]]
        assert_equivalent(total, [1.0] * n, **against(twin, "the sum of probabilities"))
    assert_equivalent(*found)


# ---- what ships


@pytest.fixture(scope="module")
def scorer(build_it, tmp_path_factory):
    """The program that ships, imported: its main() runs in this process."""
    file = tmp_path_factory.mktemp("shipped") / "score.py"
    file.write_text(one_file(Path(build_it.__file__), HERE / "score.py"), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("shipped_score", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLASSES = "label,a,b,note\na,0,{log3},x\na,{log3},0,y\nb,0,{log3},z\n"
SCORED = {
    "logits": (
        "classification --target label --classes a b",
        CLASSES,
        ["0.6539", "0.6931", "0.6365", "66.7%", "70.7%"],
    ),
    "probabilities": (
        "classification --target label --probabilities",
        "label,a,b\na,0.25,0.75\na,0.75,0.25\nb,0.25,0.75\n",
        ["0.6539", "0.6931", "0.6365", "0.4583", "0.4444"],
    ),
    "one column": ("classification --target label", "label,z\n0,{log3}\n1,{log3}\n1,{log3}\n", ["0.6539", "0.6365"]),
    "worse than a guess": (
        "classification --target label",
        "label,a,b\na,0,9\nb,9,0\n",
        ["WORSE than a uniform guess"],
    ),
    "a probability of 0": (
        "classification --target label --probabilities",
        "label,a,b\na,0,1\nb,0.5,0.5\n",
        ["inf", "which costs infinity: 1."],
    ),
    "regression": (
        "regression --target y --prediction p --delta 2 --worst 1",
        "y,p,q\n0,1,0\n0,-1,0\n12,8,0\n",
        ["6", "32", "2.333", "7", "2.333", "88.9%"],
    ),
}


@pytest.mark.parametrize("what", SCORED)
def test_the_scorer_says(scorer, tmp_path, capsys, what):
    """Numbers worked out by hand: (log 4 + 2 log 4/3) / 3 and so on."""
    arguments, text, expected = SCORED[what]
    file = tmp_path / "predictions.csv"
    file.write_text(text.replace("{log3}", repr(LOG3)), encoding="utf-8")
    task, *options = arguments.split()
    assert scorer.main([task, str(file), *options]) == 0
    said = capsys.readouterr().out
    missing = [number for number in expected if not re.search(rf"(?<![\w.]){re.escape(number)}(?![\w.%])", said)]
    assert not missing, said


UNUSABLE = {
    "no such column": ("classification --target species", CLASSES, "no column 'species'"),
    "not a number": ("classification --target label", CLASSES, "row 2, column 'note'"),
    "unknown class": ("classification --target label --classes a", CLASSES, "'a' is none of the classes"),
    "logits that are probabilities": ("classification --target y", "y,a,b\na,0.25,0.75\n", "add --probabilities"),
    "probabilities that are none": ("classification --target y --probabilities", "y,a,b\na,1,2\n", "row 2"),
    "which prediction": ("regression --target y", "y,p,q\n1,2,3\n", "--prediction"),
    "a short row": ("regression --target y", "y,p\n1,2\n1\n", "row 3 has 1 cells"),
    "no rows": ("regression --target y", "y,p\n", "no rows"),
    "empty": ("regression --target y", "", "no column"),
    "infinite": ("regression --target y", "y,p\n1,inf\n", "row 2, column 'p'"),
    "delta": ("regression --target y --delta 0", "y,p\n1,2\n", "delta must be positive"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_the_scorer_refuses(scorer, tmp_path, capsys, what):
    arguments, text, expected = UNUSABLE[what]
    file = tmp_path / "predictions.csv"
    file.write_text(text.replace("{log3}", repr(LOG3)), encoding="utf-8")
    task, *options = arguments.split()
    with pytest.raises(SystemExit) as stopped:
        scorer.main([task, str(file), *options])
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err


def test_the_skill_states_the_right_logarithms(build_it, use_it):
    stated = re.findall(r"^\| (\d+) \| ([\d.]+) \|$", (HERE / "SKILL.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(stated) == 4
    for twin in (build_it, use_it):
        found = {n: twin.cross_entropy([[0.0] * int(n)], [0])[0] for n, _ in stated}
        said = {n: float(value) for n, value in stated}
        # four decimals
        assert_equivalent(found, said, rtol=0.0, atol=5e-5, **against(twin, "SKILL.md"))
