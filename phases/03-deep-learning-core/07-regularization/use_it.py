"""Regularization in torch: autograd for penalties, softshrink, masked dropout, clip_grad_*_, a plateau's patience."""

import copy
import math
from collections.abc import Callable
from random import Random
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional, utils
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

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
Parameters = list[Any]


def l2_penalty(parameters: Parameters, lambd: float) -> tuple[float, Parameters]:
    """Half the squared norm of the parameters, as one vector; autograd has the gradient."""
    return _penalty(lambda w: w.square().sum() / 2, parameters, lambd)


def l1_penalty(parameters: Parameters, lambd: float) -> tuple[float, Parameters]:
    """torch.linalg.vector_norm of order 1; autograd takes 0 for its slope at 0."""
    return _penalty(lambda w: torch.linalg.vector_norm(w, 1), parameters, lambd)


def _penalty(function: Callable[[Tensor], Tensor], parameters: Parameters, lambd: float) -> tuple[float, Parameters]:
    leaves = [tensor.requires_grad_() for tensor in _finite(parameters)]
    penalty = _strength(lambd) * function(utils.parameters_to_vector(leaves))
    penalty.backward()
    return penalty.item(), [leaf.grad.tolist() for leaf in leaves]


def softshrink(parameters: Parameters, lambd: float = 0.5) -> Parameters:
    """torch.nn.functional.softshrink."""
    return [functional.softshrink(w, _strength(lambd)).tolist() for w in _finite(parameters)]


def dropout_mask(n_samples: int, n_features: int, p: float, rng: Random) -> Mask:
    """What torch.nn.functional.dropout draws inside, from the caller's uniforms in the place of its own generator."""
    if n_samples < 1 or n_features < 1:
        raise ValueError(f"a mask must have one row and one column or more, got {n_samples} × {n_features}")
    _probability(p)
    uniforms = torch.tensor([rng.random() for _ in range(n_samples * n_features)], dtype=torch.float64)
    return (uniforms >= p).int().view(n_samples, n_features).tolist()


def dropout(X: Matrix, mask: Mask, *, p: float = 0.5, training: bool = True) -> Matrix:
    """torch.nn.functional.dropout takes no mask; this is its product, and the proof compares with the function."""
    x = _matrix("X", X)
    _probability(p)
    return (x * _mask(mask, x, p) * _scale(p) if training else x).tolist()


def dropout_backward(upstream: Matrix, mask: Mask, *, p: float = 0.5, training: bool = True) -> Matrix:
    """torch.ops.aten.native_dropout_backward, which autograd calls on a GPU; on a CPU a product does it."""
    g = _matrix("upstream", upstream)
    _probability(p)
    if not training:
        return g.tolist()
    return torch.ops.aten.native_dropout_backward(g, _mask(mask, g, p), _scale(p)).tolist()


class EarlyStopping:
    """torch has none, but ReduceLROnPlateau counts epochs by the same rule, to lower the learning rate.

    Defaults of it that we do not take: threshold=1e-4, threshold_mode="rel", and patience=10, of which it counts one
    epoch more: it acts when more than `patience` epochs were bad, we when `patience` were.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        """Settings."""
        if not isinstance(patience, int) or patience < 1:
            raise ValueError(f"patience must be a whole number of epochs, 1 or more, got {patience!r}")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be at least 0 and finite, got {min_delta}")
        self.patience, self.min_delta = patience, min_delta
        self.best_parameters, self.best_epoch = None, 0
        self._plateau = ReduceLROnPlateau(_NoOptimizer(), patience=math.inf, threshold=min_delta, threshold_mode="abs")

    def step(self, loss: float, parameters: Any) -> bool:
        """`ReduceLROnPlateau.step`, and a copy of the parameters where its count went back to 0."""
        self._plateau.step(loss)
        if self.bad_epochs == 0:
            self.best_parameters, self.best_epoch = copy.deepcopy(parameters), self._plateau.last_epoch
        return self.bad_epochs >= self.patience

    @property
    def best_loss(self) -> float:
        return self._plateau.best

    @property
    def bad_epochs(self) -> int:
        return self._plateau.num_bad_epochs


class _NoOptimizer(Optimizer):
    """A learning rate for the scheduler to leave as it is."""

    def __init__(self) -> None:
        self.param_groups = [{"lr": 1.0}]


def clip_grad_norm_(
    gradients: Parameters, max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """torch.nn.utils.clip_grad_norm_; it takes any max_norm and norm_type, and raises RuntimeError for a norm."""
    parameters = _with_gradients(gradients)
    if not max_norm > 0:
        raise ValueError(f"max_norm must be above 0, got {max_norm}")
    if norm_type not in (1, 2, math.inf):
        raise ValueError(f"norm_type must be 1, 2 or inf, got {norm_type}")
    try:
        norm = utils.clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)
    except RuntimeError as error:
        raise ValueError(f"the norm of the gradients must be finite: {error}") from None
    gradients[:] = [parameter.grad.tolist() for parameter in parameters]
    return norm.item()


def clip_grad_value_(gradients: Parameters, clip_value: float) -> None:
    """torch.nn.utils.clip_grad_value_."""
    parameters = _with_gradients(gradients)
    if not clip_value > 0:
        raise ValueError(f"clip_value must be above 0, got {clip_value}")
    utils.clip_grad_value_(parameters, clip_value)
    gradients[:] = [parameter.grad.tolist() for parameter in parameters]


def _with_gradients(gradients: Parameters) -> list[Tensor]:
    """A parameter for each gradient, as a module has them after backward()."""
    parameters = []
    for gradient in _tensors("gradients", gradients):
        parameters.append(torch.zeros_like(gradient))
        parameters[-1].grad = gradient
    return parameters


def _tensors(name: str, tree: Parameters) -> list[Tensor]:
    """A float64 tensor for each entry; torch itself raises ValueError for ragged rows, and TypeError for no numbers."""
    if not isinstance(tree, list) or not tree:
        raise ValueError(f"{name} must be a list of one or more numbers or nested lists, got {tree!r}")
    try:
        tensors = [torch.tensor(entry, dtype=torch.float64) for entry in tree]
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from None
    if not all(tensor.numel() for tensor in tensors):
        raise ValueError(f"{name} must hold no empty list, got {tree!r}")
    return tensors


def _finite(parameters: Parameters) -> list[Tensor]:
    tensors = _tensors("parameters", parameters)
    if not all(tensor.isfinite().all() for tensor in tensors):
        raise ValueError(f"parameters must hold finite numbers, got {parameters!r}")
    return tensors


def _matrix(name: str, rows: Matrix) -> Tensor:
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{name} must be a non-empty list of rows, got {rows!r}")
    [tensor] = _tensors(name, [rows])
    if tensor.ndim != 2 or not tensor.isfinite().all():
        raise ValueError(f"{name} must be a matrix of finite numbers, got {rows!r}")
    return tensor


def _mask(mask: Mask, like: Tensor, p: float) -> Tensor:
    """A bool tensor."""
    tensor = _matrix("mask", mask)
    if tensor.shape != like.shape:  # a product would broadcast some shapes
        raise ValueError(f"mask must have the shape {tuple(like.shape)}, got {tuple(tensor.shape)}")
    allowed = {0: [1], 1: [0]}.get(p, [0, 1])
    if not torch.isin(tensor, torch.tensor(allowed, dtype=torch.float64)).all():
        raise ValueError(f"a mask for p = {p} must hold only {allowed}, got {mask}")
    return tensor.bool()


def _scale(p: float) -> float:
    """As in torch: 1 where nothing is left to scale."""
    return 1 / (1 - p) if p < 1 else 1.0


def _probability(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p must be from 0 to 1, got {p}")


def _strength(lambd: float) -> float:
    if not 0 <= lambd < math.inf:
        raise ValueError(f"lambd must be at least 0 and finite, got {lambd}")
    return lambd
