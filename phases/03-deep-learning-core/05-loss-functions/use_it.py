"""The losses of torch.nn.functional, and their gradients from torch.autograd: float64, plain lists in and out."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "hinge_loss",
    "huber_loss",
    "info_nce",
    "kl_div",
    "l1_loss",
    "log_softmax",
    "log_sum_exp",
    "mse_loss",
    "multi_margin_loss",
    "reduce_losses",
    "textbook_binary_cross_entropy",
    "textbook_cross_entropy",
    "triplet_margin_loss",
]

Vector = list[float]
Matrix = list[list[float]]


def _loss_and_gradients(function: Callable[..., Tensor], upstream: Any, *inputs: Tensor) -> tuple[Any, list[Any]]:
    """function(*inputs) and, for each input, its gradient: the chain rule of autograd, begun with `upstream`."""
    leaves = [tensor.requires_grad_() for tensor in inputs]
    loss = function(*leaves)
    start = torch.tensor(upstream, dtype=torch.float64)
    if (start.ndim and start.shape != loss.shape) or not start.isfinite().all():
        raise ValueError(f"upstream must be a finite number, or with 'none' one for each loss, got {upstream!r}")
    gradients = torch.autograd.grad(loss, leaves, start.expand_as(loss))
    return loss.tolist(), [gradient.tolist() for gradient in gradients]


def reduce_losses(
    losses: Vector, reduction: str = "mean", upstream: float | Vector = 1.0, *, divisor: float | None = None
) -> tuple[float | Vector, Vector]:
    """torch.sum or torch.mean; torch.nn.functional's losses do this inside."""
    values = torch.tensor(losses, dtype=torch.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"losses must be a non-empty list of numbers, got {losses!r}")
    if reduction == "mean" and divisor is not None:
        _positive("divisor", divisor)
    loss, [scales] = _loss_and_gradients(lambda v: _reduce(v, reduction, divisor), upstream, values)
    return loss, scales


def mse_loss(
    predictions: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """torch.nn.functional.mse_loss."""
    return _regression(functional.mse_loss, predictions, targets, reduction, upstream)


def l1_loss(
    predictions: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """torch.nn.functional.l1_loss."""
    return _regression(functional.l1_loss, predictions, targets, reduction, upstream)


def huber_loss(
    predictions: Vector,
    targets: Vector,
    *,
    delta: float = 1.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Vector]:
    """torch.nn.functional.huber_loss; smooth_l1_loss with beta=δ is this divided by δ."""
    _positive("delta", delta)
    return _regression(functional.huber_loss, predictions, targets, reduction, upstream, delta=delta)


def textbook_binary_cross_entropy(
    logits: Vector, targets: Vector, *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """The formula as it stands in a book, typed into torch: where it breaks, it says inf or NaN."""
    z, t = _vector("logits", logits), _probabilities(targets, logits)

    def loss(z: Tensor) -> Tensor:
        p = 1 / (1 + torch.exp(-z))
        return _reduce(-t * torch.log(p) - (1 - t) * torch.log(1 - p), reduction)

    value, [gradient] = _loss_and_gradients(loss, upstream, z)
    return value, gradient


def binary_cross_entropy_with_logits(
    logits: Vector,
    targets: Vector,
    *,
    pos_weight: float = 1.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Vector]:
    """torch.nn.functional.binary_cross_entropy_with_logits; it does not check that targets are from 0 to 1."""
    z, t = _vector("logits", logits), _probabilities(targets, logits)
    _reduction(reduction)
    options = {"pos_weight": torch.tensor(_positive("pos_weight", pos_weight)), "reduction": reduction}
    value, [gradient] = _loss_and_gradients(
        lambda z: functional.binary_cross_entropy_with_logits(z, t, **options), upstream, z
    )
    return value, gradient


def hinge_loss(
    scores: Vector, labels: list[int], *, margin: float = 1.0, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Vector]:
    """torch has it as margin_ranking_loss, max(0, m - y (s - s')), with a second score s' of 0."""
    s, y = _vector("scores", scores), _signs(labels, scores)
    options = {"margin": _positive("margin", margin), "reduction": _reduction(reduction)}
    value, [gradient] = _loss_and_gradients(
        lambda s: functional.margin_ranking_loss(s, torch.zeros_like(s), y, **options), upstream, s
    )
    return value, gradient


def log_sum_exp(values: Vector) -> float:
    """torch.logsumexp."""
    return torch.logsumexp(_vector("values", values), dim=0).item()


def log_softmax(logits: Matrix) -> Matrix:
    """torch.nn.functional.log_softmax."""
    return functional.log_softmax(_matrix("logits", logits), dim=1).tolist()


def textbook_cross_entropy(
    logits: Matrix, labels: list[int], *, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Matrix]:
    """The formula as it stands in a book, typed into torch: where it breaks, it says inf or NaN."""
    z = _matrix("logits", logits)
    y = _labels(labels, z)

    def loss(z: Tensor) -> Tensor:
        p = torch.exp(z) / torch.exp(z).sum(dim=1, keepdim=True)
        return _reduce(-torch.log(p.gather(1, y[:, None])[:, 0]), reduction)

    value, [gradient] = _loss_and_gradients(loss, upstream, z)
    return value, gradient


def cross_entropy(
    logits: Matrix,
    labels: list[int],
    *,
    weights: Vector | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, Matrix]:
    """torch.nn.functional.cross_entropy; where nothing counts, its mean is NaN, and we refuse."""
    z = _matrix("logits", logits)
    y = _labels(labels, z, ignore_index)
    _reduction(reduction)
    w = torch.ones(z.shape[1], dtype=torch.float64) if weights is None else _vector("weights", weights)
    if len(w) != z.shape[1] or (w < 0).any():
        raise ValueError(f"weights must be {z.shape[1]} numbers of at least 0, got {weights}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing must be from 0 to 1, got {label_smoothing}")
    if reduction == "mean" and not w[y[y != ignore_index]].any():
        raise ValueError("every label is ignored or weighs 0, so the mean would be 0 / 0; expected one that counts")
    options = {
        "weight": w,
        "ignore_index": ignore_index,
        "label_smoothing": label_smoothing,
        "reduction": reduction,
    }
    value, [gradient] = _loss_and_gradients(lambda z: functional.cross_entropy(z, y, **options), upstream, z)
    return value, gradient


def multi_margin_loss(
    scores: Matrix, labels: list[int], *, margin: float = 1.0, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, Matrix]:
    """torch.nn.functional.multi_margin_loss, with its default p=1."""
    s = _matrix("scores", scores)
    y = _labels(labels, s)
    options = {"margin": _positive("margin", margin), "reduction": _reduction(reduction)}
    value, [gradient] = _loss_and_gradients(lambda s: functional.multi_margin_loss(s, y, **options), upstream, s)
    return value, gradient


def kl_div(
    log_probabilities: Matrix,
    targets: Matrix,
    *,
    log_target: bool = False,
    reduction: str = "mean",
    upstream: float | Matrix = 1.0,
) -> tuple[float | Matrix, Matrix]:
    """torch.nn.functional.kl_div; it takes any numbers for probabilities, and we refuse what can be none."""
    x = _matrix("log_probabilities", log_probabilities)
    t = _matrix("targets", targets, x)
    if (x > 0).any() or (t > (0 if log_target else 1)).any() or (not log_target and (t < 0).any()):
        raise ValueError(f"expected log-probabilities and probabilities, got {log_probabilities} and {targets}")
    options = {"log_target": log_target, "reduction": _reduction(reduction, "batchmean")}
    with warnings.catch_warnings(action="ignore"):  # for "mean" it warns that you may want "batchmean"
        value, [gradient] = _loss_and_gradients(lambda x: functional.kl_div(x, t, **options), upstream, x)
    return value, gradient


def cosine_embedding_loss(
    first: Matrix,
    second: Matrix,
    labels: list[int],
    *,
    margin: float = 0.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, tuple[Matrix, Matrix]]:
    """torch.nn.functional.cosine_embedding_loss; its epsilon of 1e-12 is fixed, and a 32-bit float."""
    a = _matrix("first", first)
    b, y = _matrix("second", second, a), _signs(labels, first)
    if not -1 <= margin <= 1:
        raise ValueError(f"margin must be from -1 to 1, as a cosine is, got {margin}")
    options = {"margin": margin, "reduction": _reduction(reduction)}
    value, gradients = _loss_and_gradients(
        lambda a, b: functional.cosine_embedding_loss(a, b, y, **options), upstream, a, b
    )
    return value, tuple(gradients)


def triplet_margin_loss(
    anchors: Matrix,
    positives: Matrix,
    negatives: Matrix,
    *,
    margin: float = 1.0,
    reduction: str = "mean",
    upstream: float | Vector = 1.0,
) -> tuple[float | Vector, tuple[Matrix, Matrix, Matrix]]:
    """torch.nn.functional.triplet_margin_loss, with its defaults p=2, eps=1e-6 and swap=False."""
    a = _matrix("anchors", anchors)
    p, n = _matrix("positives", positives, a), _matrix("negatives", negatives, a)
    options = {"margin": _positive("margin", margin), "reduction": _reduction(reduction)}
    value, gradients = _loss_and_gradients(
        lambda a, p, n: functional.triplet_margin_loss(a, p, n, **options), upstream, a, p, n
    )
    return value, tuple(gradients)


def info_nce(
    queries: Matrix, keys: Matrix, *, temperature: float, reduction: str = "mean", upstream: float | Vector = 1.0
) -> tuple[float | Vector, tuple[Matrix, Matrix]]:
    """torch has no InfoNCE of its own: normalize, one matrix product, cross_entropy."""
    q = _matrix("queries", queries)
    k = _matrix("keys", keys, q)
    _positive("temperature", temperature)
    _reduction(reduction)
    for name, rows in (("queries", q), ("keys", k)):
        if (rows.norm(dim=1) < 1e-12).any():
            raise ValueError(f"a row of {name} must have a direction, got {rows.tolist()}")

    def loss(q: Tensor, k: Tensor) -> Tensor:
        logits = functional.normalize(q, dim=1) @ functional.normalize(k, dim=1).T / temperature
        return functional.cross_entropy(logits, torch.arange(len(logits)), reduction=reduction)

    value, gradients = _loss_and_gradients(loss, upstream, q, k)
    return value, tuple(gradients)


def _regression(
    function: Callable[..., Tensor], predictions: Vector, targets: Vector, reduction: str, upstream: Any, **options: Any
) -> tuple[float | Vector, Vector]:
    p, t = _vector("predictions", predictions), _vector("targets", targets, predictions)
    _reduction(reduction)
    value, [gradient] = _loss_and_gradients(lambda p: function(p, t, reduction=reduction, **options), upstream, p)
    return value, gradient


def _reduce(losses: Tensor, reduction: str, divisor: float | None = None) -> Tensor:
    """What the last line of each loss of torch.nn.functional does."""
    if _reduction(reduction) == "none":
        return losses.clone()
    if reduction == "sum":
        return losses.sum()
    return losses.mean() if divisor is None else losses.sum() / divisor


def _vector(name: str, values: Vector, like: list[Any] | None = None) -> Tensor:
    tensor = torch.tensor(values, dtype=torch.float64)
    if tensor.ndim != 1 or not len(tensor) or not tensor.isfinite().all():
        raise ValueError(f"{name} must be a non-empty list of finite numbers, got {values!r}")
    if like is not None and len(tensor) != len(like):
        raise ValueError(f"{name} must have {len(like)} entries, got {len(tensor)}")
    return tensor


def _matrix(name: str, rows: Matrix, like: Tensor | None = None) -> Tensor:
    """A float64 tensor; torch itself raises ValueError where the rows differ in length."""
    tensor = torch.tensor(rows, dtype=torch.float64)
    if tensor.ndim != 2 or not tensor.numel() or not tensor.isfinite().all():
        raise ValueError(f"{name} must be a matrix of finite numbers, got {rows!r}")
    if like is not None and tensor.shape != like.shape:  # torch would broadcast some shapes, and refuse others
        raise ValueError(f"{name} must have the shape {tuple(like.shape)}, got {tuple(tensor.shape)}")
    return tensor


def _probabilities(targets: Vector, logits: Vector) -> Tensor:
    tensor = _vector("targets", targets, logits)
    if not ((tensor >= 0) & (tensor <= 1)).all():
        raise ValueError(f"targets must be from 0 to 1, got {targets}")
    return tensor


def _signs(labels: list[int], samples: list[Any]) -> Tensor:
    if len(labels) != len(samples):
        raise ValueError(f"labels must have {len(samples)} entries, got {len(labels)}")
    if any(label not in (-1, 1) for label in labels):
        raise ValueError(f"labels must be -1 or 1, got {labels}")
    return torch.tensor(labels, dtype=torch.float64)


def _labels(labels: list[int], rows: Tensor, ignore_index: int | None = None) -> Tensor:
    if len(labels) != len(rows):
        raise ValueError(f"labels must have {len(rows)} entries, got {len(labels)}")
    for label in labels:
        if not isinstance(label, int) or not (label == ignore_index or 0 <= label < rows.shape[1]):
            raise ValueError(f"a label must be an int from 0 to {rows.shape[1] - 1}, got {label!r}")
    return torch.tensor(labels, dtype=torch.int64)


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return value


def _reduction(reduction: str, *more: str) -> str:
    known = ("none", "mean", "sum", *more)
    if reduction not in known:
        raise ValueError(f"reduction must be one of {', '.join(known)}, got {reduction!r}")
    return reduction
