"""What keeps a network from learning its training data by heart, and a gradient from blowing up, on the standard
library alone: penalties, soft-thresholding, dropout, early stopping, clipping."""

import copy
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

__all__ = [
    "EarlyStopping",
    "clip_grad_norm_",
    "clip_grad_value_",
    "dropout",
    "dropout_backward",
    "dropout_mask",
    "l1_penalty",
    "l2_penalty",
    "softshrink",
]

Matrix = list[list[float]]
Mask = list[list[int]]
Parameters = list[Any]  # each entry is one parameter: a number, a vector, a matrix … as nested lists


def _each(f: Callable[[float], float], tree: Any) -> Any:  # given
    """f of every number of a nested list, in a new list of the same shape."""
    return [_each(f, branch) for branch in tree] if isinstance(tree, list) else f(tree)


def _numbers(tree: Any) -> Iterator[float]:  # given
    """Every number of a nested list, in order."""
    if isinstance(tree, list):
        for branch in tree:
            yield from _numbers(branch)
    else:
        yield tree


# ---- penalties


def l2_penalty(parameters: Parameters, lambd: float) -> tuple[float, Parameters]:
    """½ λ Σ w² over every number w, and its gradient λ w: what torch's optimizers call weight_decay=λ.

    Args:
        parameters: a list of one parameter or more, each a number or a nested list of finite numbers.
        lambd: λ, at least 0 and finite; torch spells it so, since lambda is a word of Python.

    Returns:
        The penalty, to be added to the loss, and its gradient, to be added to that of the loss: shaped as `parameters`.

    Raises:
        ValueError: no parameter, one without numbers or with a number that is not finite, or λ out of range.
    """
    _check_parameters("parameters", parameters)
    _check_strength(lambd)
    return lambd / 2 * sum(w * w for w in _numbers(parameters)), _each(lambda w: lambd * w, parameters)


def l1_penalty(parameters: Parameters, lambd: float) -> tuple[float, Parameters]:
    """λ Σ |w| over every number w, and a subgradient of it: λ times the sign of w, 0 where w is 0 (as in torch).

    Arguments, returns and errors as `l2_penalty`.
    """
    _check_parameters("parameters", parameters)
    _check_strength(lambd)
    return lambd * sum(abs(w) for w in _numbers(parameters)), _each(lambda w: lambd * ((w > 0) - (w < 0)), parameters)


def softshrink(parameters: Parameters, lambd: float = 0.5) -> Parameters:
    """Every number moved by λ towards 0; exactly 0 where it was not more than λ away (soft-thresholding).

    After a gradient step with the learning rate η on the loss alone, λ = η times the strength of an L1 penalty makes
    the proximal step for that penalty (Donoho 1995; Daubechies, Defrise & De Mol 2004).

    Args:
        parameters: as in `l2_penalty`; left as they are.
        lambd: λ, at least 0 and finite.

    Returns:
        New parameters of the same shapes.

    Raises:
        ValueError: as `l2_penalty`.
    """
    _check_parameters("parameters", parameters)
    _check_strength(lambd)
    return _each(lambda w: w - lambd if w > lambd else w + lambd if w < -lambd else 0.0, parameters)


# ---- dropout


def dropout_mask(n_samples: int, n_features: int, p: float, rng: Random) -> Mask:
    """0 with probability p, else 1, for each entry: row by row, 1 where the next rng.random() is at least p.

    Raises:
        ValueError: a size is below 1, or p is not from 0 to 1.
    """
    if n_samples < 1 or n_features < 1:
        raise ValueError(f"a mask must have one row and one column or more, got {n_samples} × {n_features}")
    _check_probability(p)
    return [[int(rng.random() >= p) for _ in range(n_features)] for _ in range(n_samples)]


def dropout(X: Matrix, mask: Mask, *, p: float = 0.5, training: bool = True) -> Matrix:
    """Inverted dropout: x · mask / (1 - p) in training, 0 if p = 1; x itself in evaluation (Srivastava et al. 2014).

    Args:
        X: n_samples × n_features, the values of a layer.
        mask: of the same shape, 1 to keep and 0 to drop; not looked at in evaluation.
        p: the probability with which an entry of the mask was 0. With p = 0 all entries must be 1, with p = 1 all 0.
        training: False in evaluation.

    Returns:
        A new matrix, n_samples × n_features.

    Raises:
        ValueError: X is no matrix of finite numbers, p is not from 0 to 1, or, in training, the mask has another shape
            or is none that p can draw.
    """
    shape = _check_matrix("X", X)
    _check_probability(p)
    if not training:
        return [list(row) for row in X]
    _check_mask(mask, shape, p)
    scale = 1 / (1 - p) if p < 1 else 1.0
    return [[x * keep * scale for x, keep in zip(*rows, strict=True)] for rows in zip(X, mask, strict=True)]


def dropout_backward(upstream: Matrix, mask: Mask, *, p: float = 0.5, training: bool = True) -> Matrix:
    """dL/dX of `dropout`: the same mask and the same scale.

    Args:
        upstream: n_samples × n_features, dL/d(output).
        mask: the one of the forward pass.
        p: as in the forward pass.
        training: as in the forward pass.

    Returns:
        A new matrix, n_samples × n_features.

    Raises:
        ValueError: as `dropout`.
    """
    return dropout(upstream, mask, p=p, training=training)  # linear in X, and each entry has a factor of its own


# ---- early stopping


class EarlyStopping:
    """Counts epochs without an improvement, and keeps the parameters of the best one (Prechelt 1998).

    A validation loss is better where it is below the best one so far by more than min_delta. NaN never is.

    Attributes:
        patience, min_delta: the settings.
        best_loss: the best so far, inf before the first.
        best_parameters: a copy of those that came with it, None before the first.
        best_epoch: the number of the step at which it came, from 1; 0 before the first.
        bad_epochs: how many steps have passed since.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        """Settings.

        Raises:
            ValueError: `patience` is no int of at least 1, or `min_delta` is below 0 or not finite.
        """
        if not isinstance(patience, int) or patience < 1:
            raise ValueError(f"patience must be a whole number of epochs, 1 or more, got {patience!r}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be at least 0 and finite, got {min_delta}")
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_parameters = math.inf, None
        self.best_epoch = self.bad_epochs = 0  # together: the number of epochs so far

    def step(self, loss: float, parameters: Any) -> bool:
        """Take note of an epoch, and say whether to stop: whether the last `patience` epochs brought nothing better.

        Args:
            loss: on the validation set, after the epoch.
            parameters: anything that copy.deepcopy can copy; copied only if the loss is better.
        """
        self.bad_epochs += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_parameters = loss, copy.deepcopy(parameters)
            self.best_epoch, self.bad_epochs = self.best_epoch + self.bad_epochs, 0
        return self.bad_epochs >= self.patience


# ---- clipping


def clip_grad_norm_(
    gradients: Parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients down, in place, where their norm is above max_norm (Pascanu, Mikolov & Bengio 2013).

    The norm is one number for all gradients together, as if they were one long vector: Σ|g| for norm_type 1, √Σg² for
    2, max|g| for inf. Each g becomes g · min(1, max_norm / (norm + 1e-6)); torch adds the 1e-6 against a division by 0.

    Args:
        gradients: a list of one gradient or more, each a number or a nested list of numbers. Its entries are replaced.
        max_norm: above 0; with inf nothing is clipped, and you learn the norm.
        norm_type: 1, 2 or math.inf.
        error_if_nonfinite: refuse a norm that is inf or NaN. Without it, one infinite gradient makes itself NaN and
            all others 0 (with max_norm = inf all NaN); one NaN makes all NaN. A square that overflows makes the norm
            inf, too: the gradients, finite as they are, all become 0.

    Returns:
        The norm as it was before.

    Raises:
        ValueError: no gradient or one without numbers, a setting out of range, or `error_if_nonfinite` and the norm
            is inf or NaN (for which torch raises RuntimeError). The gradients are then as they were.
    """
    _check_numbers("gradients", gradients)
    if not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, got {max_norm}")
    norm = _norm([abs(g) for g in _numbers(gradients)], norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise ValueError(f"the norm of the gradients must be finite, got {norm}")
    scale = min(max_norm / (norm + 1e-6), 1.0)  # in this order: min(1.0, nan) would be 1.0
    gradients[:] = _each(lambda g: g * scale, gradients)
    return norm


def _norm(sizes: list[float], norm_type: float) -> float:
    """Of absolute values."""
    if norm_type == 1:
        return float(sum(sizes))
    if norm_type == 2:
        return math.sqrt(sum(size * size for size in sizes))
    if norm_type == math.inf:
        return math.nan if any(map(math.isnan, sizes)) else float(max(sizes))  # max() may pass over a NaN
    raise ValueError(f"norm_type must be 1, 2 or inf, got {norm_type}")


def clip_grad_value_(gradients: Parameters, clip_value: float) -> None:
    """Keep every number of the gradients between -clip_value and clip_value, in place. NaN stays NaN.

    Args:
        gradients: as in `clip_grad_norm_`.
        clip_value: above 0.

    Raises:
        ValueError: no gradient or one without numbers, or `clip_value` is not above 0.
    """
    _check_numbers("gradients", gradients)
    if not clip_value > 0:
        raise ValueError(f"clip_value must be above 0, got {clip_value}")
    gradients[:] = _each(lambda g: max(min(g, clip_value), -clip_value), gradients)  # g first: a NaN is kept


def _shape(name: str, tree: Any) -> tuple[int, ...]:  # given
    """() of a number, (n, …) of a list of n entries of one shape."""
    if isinstance(tree, int | float):
        return ()
    if not isinstance(tree, list) or not tree:
        raise ValueError(f"{name} must hold numbers and non-empty lists of them, got {tree!r}")
    shapes = {_shape(name, branch) for branch in tree}
    if len(shapes) > 1:
        raise ValueError(f"a list in {name} must hold entries of one shape, got {sorted(shapes)}")
    return (len(tree), *shapes.pop())


def _check_numbers(name: str, tree: Any) -> None:  # given
    """A list of one parameter or more, each a number or a nested list with a shape."""
    if not isinstance(tree, list) or not tree:
        raise ValueError(f"{name} must be a list of one or more numbers or nested lists, got {tree!r}")
    for branch in tree:
        _shape(name, branch)


def _check_parameters(name: str, tree: Any) -> None:  # given
    """As `_check_numbers`, and every number is finite."""
    _check_numbers(name, tree)
    if not all(map(math.isfinite, _numbers(tree))):
        raise ValueError(f"{name} must hold finite numbers, got {tree!r}")


def _check_matrix(name: str, rows: Any) -> tuple[int, ...]:  # given
    """Finite numbers in rows of one length, at least 1; gives back the shape."""
    shape = _shape(name, rows)
    if len(shape) != 2 or not all(map(math.isfinite, _numbers(rows))):
        raise ValueError(f"{name} must be a list of rows of finite numbers, got {rows!r}")
    return shape


def _check_mask(mask: Any, shape: tuple[int, ...], p: float) -> None:  # given
    """0 and 1 in the shape; only 1 with p = 0, only 0 with p = 1."""
    if _shape("mask", mask) != shape:
        raise ValueError(f"mask must have the shape {shape}, got {_shape('mask', mask)}")
    allowed = {0: {1}, 1: {0}}.get(p, {0, 1})
    if unfit := {*_numbers(mask)} - allowed:
        raise ValueError(f"a mask for p = {p} must hold only {sorted(allowed)}, got {unfit.pop()}")


def _check_probability(p: float) -> None:  # given
    """From 0 to 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, got {p}")


def _check_strength(lambd: float) -> None:  # given
    """At least 0 and finite."""
    if not 0 <= lambd < math.inf:
        raise ValueError(f"lambd must be at least 0 and finite, got {lambd}")


if __name__ == "__main__":
    print("soft-thresholding by 0.5:", softshrink([[2.0, -0.25], [0.5, -1.5]], 0.5))
    found = [[3.0, 0.0], 4.0]
    print("norm", clip_grad_norm_(found, 1.0), "clipped to", [[round(g, 4) for g in found[0]], round(found[1], 4)])
