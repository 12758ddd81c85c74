"""The same checks with torch: gradcheck, forward and backward hooks, and statistics of tensors, in float64."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "ActivationStatistics",
    "Finding",
    "GradientCheck",
    "GradientStatistics",
    "Record",
    "activation_statistics",
    "dependence",
    "diagnose",
    "expected_initial_loss",
    "gradient_check",
    "gradient_statistics",
    "numerical_gradient",
    "overfit_one_batch",
    "record",
]

Vector = list[float]
Matrix = list[list[float]]
Data = tuple[Matrix, list[int]]  # samples, and the class of each
Nested = Any  # a number, or lists of numbers nested to any depth
Script = Any  # what `diagnose` of build_it says: model, inputs, loss, step, predict, batches

# what is measured: (at least, at most, what to look at where it is outside)
CHECKLIST = {
    "inputs": (0.1, 10.0, "normalise each feature, with the training set's mean and standard deviation"),
    "samples apart": (0.0, 0.0, "reshape where a transpose was meant, dim=0 in softmax or mean, no model.eval()"),
    "dead units": (0.0, 0.5, "biases, learning rate, scale and sign of what comes in"),
    "saturated units": (0.0, 0.25, "scale of inputs and weights"),
    "units alike": (0.0, 0.0, "weights that start equal: draw them at random"),
    "growth through depth": (0.01, 10.0, "scale of the initial weights: a standard deviation near 1/√n_in"),
    "initial loss": (0.75, 1.25, "loss function, its sign and reduction, scale of the last layer, number of classes"),
    "without gradient": (0.0, 0.0, "detach, .data, .item() or no_grad on the way to the loss; parameters not used"),
    "gradient": (0.0, 0.0, "zero_grad; a hand-written backward; a ReLU at exactly 0"),
    "update ratio": (1e-5, 0.3, "learning rate"),
    "one batch": (0.0, 0.1, "softmax in front of the loss, sign of the step, learning rate, too small a network"),
    "held-out loss": (0.0, 0.8, "labels that do not belong to their inputs: shuffled apart, or off by one"),
}


@dataclass(frozen=True)
class GradientCheck:
    """What `gradient_check` found.

    Attributes:
        passed: whether no entry is wrong.
        wrong: the places of the entries that differ by more than the tolerances.
        worst: the place of the entry whose difference is the largest multiple of what is allowed.
        analytical: there, what was claimed.
        numerical: there, what central differences give.
        relative_error: there, |analytical - numerical| / max(|analytical|, |numerical|); 0 where both are 0.
    """

    passed: bool
    wrong: list[int]
    worst: int
    analytical: float
    numerical: float
    relative_error: float


@dataclass
class Record:
    """What a hook saw of one call of a layer.

    Attributes:
        name: of the layer in the model, such as "0" or "encoder.1"; "" if the model is a single layer.
        kind: the name of its class, such as "Linear".
        output: as nested lists.
        gradient: dL/d(output), with the shape of output; None where no gradient came.
    """

    name: str
    kind: str
    output: Nested
    gradient: Nested | None = None


@dataclass(frozen=True)
class ActivationStatistics:
    """One layer's outputs on one batch.

    Attributes:
        mean: of all numbers.
        std: of all numbers, divided by their number.
        zeros: the share of numbers that are 0.
        dead: the share of units that are 0 for every sample.
        saturated: the share of numbers where the slope of a sigmoid or tanh is below a tenth of its largest.
        alike: the share of units that have a twin: another unit with the same outputs for every sample.
    """

    mean: float
    std: float
    zeros: float
    dead: float
    saturated: float
    alike: float


@dataclass(frozen=True)
class GradientStatistics:
    """One parameter in one step of training; norms are roots of sums of squares.

    Attributes:
        weight_norm: before the step.
        gradient_norm: 0 where there was none.
        update_norm: of what the step added.
        update_ratio: update_norm / weight_norm; 0 for no update, inf where weights that are all 0 were moved.
    """

    weight_norm: float
    gradient_norm: float
    update_norm: float
    update_ratio: float


@dataclass(frozen=True)
class Finding:
    """One check of `diagnose`.

    Attributes:
        check: its name.
        measured: what came out.
        at_least: what is expected, as in CHECKLIST.
        at_most: what is expected, as in CHECKLIST.
        passed: at_least ≤ measured ≤ at_most; NaN does not pass.
        look_at: where the fault may be, if not passed.
    """

    check: str
    measured: float
    at_least: float
    at_most: float
    passed: bool
    look_at: str


class _Claimed(torch.autograd.Function):
    """A function of lists, with the gradient that is claimed for it, as torch's autograd sees it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Callable[[Vector], float], gradient: Callable[[Vector], Vector]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.gradient = gradient
        return x.new_tensor(f(x.tolist()))

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return upstream[0] * x.new_tensor(ctx.gradient(x.tolist())), None, None


def numerical_gradient(f: Callable[[Vector], float], x: Vector, eps: float = 1e-6) -> Vector:
    """By hand: what torch.autograd.gradcheck computes for itself, it does not give away."""
    _check_step(x, eps)
    at = torch.tensor(x, dtype=torch.float64)
    steps = eps * torch.eye(len(x), dtype=torch.float64)
    return [(f((at + step).tolist()) - f((at - step).tolist())) / (2 * eps) for step in steps]


def gradient_check(
    f: Callable[[Vector], float],
    gradient: Callable[[Vector], Vector],
    x: Vector,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> GradientCheck:
    """`torch.autograd.gradcheck` says whether it passed; its defaults are eps=1e-6, atol=1e-5, rtol=1e-3, as here."""
    if not (atol >= 0 and rtol >= 0):
        raise ValueError(f"atol and rtol must be at least 0, got {atol} and {rtol}")
    numerical = torch.tensor(numerical_gradient(f, x, eps), dtype=torch.float64)
    analytical = torch.tensor(gradient(list(x)), dtype=torch.float64)
    if analytical.shape != numerical.shape:
        raise ValueError(f"gradient must give {len(x)} numbers, got {len(analytical)}")
    at = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    passed = torch.autograd.gradcheck(
        lambda at: _Claimed.apply(at, f, gradient), at, eps=eps, atol=atol, rtol=rtol, raise_exception=False
    )
    difference = (analytical - numerical).abs()
    finite = difference.isfinite()  # two infinities are close to isclose and gradcheck
    wrong = (~(finite & torch.isclose(analytical, numerical, rtol=rtol, atol=atol))).nonzero().flatten().tolist()
    excess = difference / (atol + rtol * numerical.abs())
    relative_error = difference / torch.maximum(analytical.abs(), numerical.abs())
    excess[difference == 0] = relative_error[difference == 0] = 0.0
    worst = int(excess.nan_to_num(nan=math.inf, posinf=math.inf).argmax())
    at_worst = (values[worst].item() for values in (analytical, numerical, relative_error))
    return GradientCheck(passed and bool(finite.all()), wrong, worst, *at_worst)


def expected_initial_loss(n_classes: int, logit_std: float = 0.0) -> float:
    """torch's cross-entropy of equal logits, and the second-order term of those that vary."""
    if n_classes < 1:
        raise ValueError(f"n_classes must be at least 1, got {n_classes}")
    if not 0 <= logit_std < math.inf:
        raise ValueError(f"logit_std must be finite and at least 0, got {logit_std}")
    equal = torch.zeros(n_classes, dtype=torch.float64)
    return nn.functional.cross_entropy(equal, torch.tensor(0)).item() + logit_std**2 * (1 - 1 / n_classes) / 2


def dependence(f: Callable[[Matrix], Any], X: Matrix) -> list[list[bool]]:
    """One forward pass for each dyed sample; `torch.isnan` finds where the dye has come."""
    _check_matrix(X)
    columns = []
    for j in range(len(X)):
        dyed = torch.tensor(X, dtype=torch.float64)
        dyed[j] = math.nan
        outputs = f(dyed.tolist())
        if len(outputs) != len(X):
            raise ValueError(f"f must give {len(X)} rows for {len(X)} samples, got {len(outputs)}")
        columns.append(outputs.isnan().reshape(len(X), -1).any(1))
    return torch.stack(columns, 1).tolist()


def record(model: nn.Module, run: Callable[[], Tensor]) -> list[Record]:
    """`register_forward_hook` on the layers, and `Tensor.register_hook` on what they give."""
    records: list[Record] = []

    def watch(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            seen = Record(name, type(layer).__name__, output.tolist())
            records.append(seen)
            if output.requires_grad:
                output.register_hook(lambda gradient: setattr(seen, "gradient", gradient.tolist()))

        return hook

    layers = [(name, layer) for name, layer in model.named_modules() if not list(layer.children())]
    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers]
    try:
        loss = run()
        if not loss.requires_grad:
            raise ValueError("run must give a loss that requires a gradient, got one that does not")
        loss.backward()
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad()
    return records


def activation_statistics(output: Matrix, kind: str = "ReLU") -> ActivationStatistics:
    """Reductions of one tensor."""
    _check_matrix(output)
    H = torch.tensor(output, dtype=torch.float64)
    slope = {"Sigmoid": 4 * H * (1 - H), "Tanh": 1 - H * H}.get(kind, torch.ones_like(H))
    apart = (H.T[:, None] - H.T[None]).abs().amax(2)
    same = apart <= 1e-9 * H.abs().max()
    return ActivationStatistics(
        H.mean().item(),
        H.std(correction=0).item(),
        zeros=(H == 0).double().mean().item(),
        dead=(H == 0).all(0).double().mean().item(),
        saturated=(slope < 0.1).double().mean().item(),
        alike=(same.sum(1) > 1).double().mean().item(),
    )


def gradient_statistics(before: Nested, gradient: Nested | None, after: Nested) -> GradientStatistics:
    """`torch.linalg.vector_norm` of each, whatever the number of axes."""
    old, new = torch.tensor(before, dtype=torch.float64), torch.tensor(after, dtype=torch.float64)
    slopes = torch.zeros_like(old) if gradient is None else torch.tensor(gradient, dtype=torch.float64)
    if not old.numel() == new.numel() == slopes.numel() > 0:
        raise ValueError(
            f"before, gradient and after must match, got {old.numel()}, {slopes.numel()}, {new.numel()} numbers"
        )
    sizes = [torch.linalg.vector_norm(v) for v in (old, slopes, new - old)]
    weight_norm, gradient_norm, update_norm = (size.item() for size in sizes)
    return GradientStatistics(weight_norm, gradient_norm, update_norm, _ratio(update_norm, weight_norm))


def _ratio(a: float, b: float) -> float:
    """a / b as tensors divide, so that nothing is raised where b is 0; and 0 where a is 0."""
    return (torch.tensor(a, dtype=torch.float64) / b).item() if a else 0.0


def overfit_one_batch(step: Callable[[], float], n_steps: int) -> Vector:
    """A loop: torch has none of its own."""
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    losses = [step()]
    for _ in range(n_steps - 1):
        if not abs(losses[-1]) <= 100 * (1 + abs(losses[0])):
            break
        losses.append(step())
    return losses


def diagnose(  # data come in pairs
    make: Callable[[], Script],
    X: Matrix,
    y: list[int],
    X_held_out: Matrix,
    y_held_out: list[int],
    *,
    batch_size: int = 12,
    n_steps: int = 100,
    n_epochs: int = 4,
) -> list[Finding]:
    """The checklist on a script of torch."""
    for rows, classes in ((X, y), (X_held_out, y_held_out)):
        _check_matrix(rows)
        if len(rows) != len(classes):
            raise ValueError(f"{len(rows)} samples need as many classes, got {len(classes)}")
    if not 1 <= batch_size <= len(X):
        raise ValueError(f"batch_size must be from 1 to {len(X)}, got {batch_size}")
    if len(set(y)) < 2 or not set(y_held_out) <= set(y):
        raise ValueError(f"y must have two classes or more, and all of y_held_out, got {set(y)} and {set(y_held_out)}")
    some, labels = X[:batch_size], y[:batch_size]
    log_n = expected_initial_loss(max(y) + 1)

    mixed = torch.tensor(dependence(make().predict, some)).fill_diagonal_(False)
    script, measured = make(), {}
    with torch.no_grad():
        measured["inputs"] = make().inputs(some).square().mean(0).sqrt().max().item()
        measured["initial loss"] = make().loss(some, labels).item() / log_n
    measured["samples apart"] = mixed.any(1).double().sum().item()
    measured |= _of_layers(make(), some, labels)
    measured |= _of_parameters(make(), some, labels)
    measured["gradient"] = float(len(_check_of_step(make(), some, labels).wrong))
    measured["one batch"] = overfit_one_batch(lambda: script.step(some, labels), n_steps)[-1] / log_n
    measured["held-out loss"] = _held_out(make(), (X, y), (X_held_out, y_held_out), batch_size, n_epochs)
    return [
        Finding(name, measured[name], low, high, low <= measured[name] <= high, look_at)
        for name, (low, high, look_at) in CHECKLIST.items()
    ]


def _check_of_step(script: Script, X: Matrix, y: list[int]) -> GradientCheck:
    """The gradient that the second step used, at up to five places of each parameter, against the loss."""
    parameters = list(script.model.parameters())
    script.step(X, y)
    values = [parameter.detach().clone() for parameter in parameters]
    script.step(X, y)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    strides = [-(-v.numel() // 5) for v in values]

    def chosen(tensors: list[Tensor]) -> Vector:
        return torch.cat([t.flatten()[::stride] for t, stride in zip(tensors, strides, strict=True)]).tolist()

    analytical = chosen(gradients)  # now, as the loss may add to what it reads

    @torch.no_grad()
    def loss(x: Vector) -> float:
        rest = torch.tensor(x, dtype=torch.float64)
        for parameter, value, stride in zip(parameters, values, strides, strict=True):
            moved = value.clone()
            entries = moved.view(-1)[::stride]
            entries.copy_(rest[: len(entries)])
            rest = rest[len(entries) :]
            parameter.copy_(moved)
        return script.loss(X, y).item()

    return gradient_check(loss, lambda _: analytical, chosen(values))


def _of_layers(script: Script, X: Matrix, y: list[int]) -> dict[str, float]:
    """The statistics of the activations before training; of several layers, the worst."""
    seen = [(r.kind, activation_statistics(r.output, r.kind)) for r in record(script.model, lambda: script.loss(X, y))]
    linear = [s for kind, s in seen if kind == "Linear"]
    return {
        "dead units": max((s.dead for kind, s in seen if kind == "ReLU"), default=0.0),
        "saturated units": max(s.saturated for _, s in seen),
        "units alike": max((s.alike for s in linear), default=0.0),
        "growth through depth": _ratio(linear[-1].std, linear[0].std) if linear else 1.0,
    }


def _of_parameters(script: Script, X: Matrix, y: list[int]) -> dict[str, float]:
    """The statistics of the first step."""
    parameters = list(script.model.parameters())
    before = [parameter.tolist() for parameter in parameters]
    script.step(X, y)
    seen = [
        gradient_statistics(b, None if p.grad is None else p.grad.tolist(), p.tolist())
        for b, p in zip(before, parameters, strict=True)
    ]
    ratios = [s.update_ratio for s, p in zip(seen, parameters, strict=True) if p.ndim > 1]
    largest = max(s.gradient_norm for s in seen)
    return {
        "without gradient": float(sum(s.gradient_norm <= 1e-9 * largest for s in seen)),
        "update ratio": max(ratios, default=0.0),
    }


def _held_out(script: Script, train: Data, held_out: Data, batch_size: int, n_epochs: int) -> float:
    """The loss after training on what was held out, as a share of that of the best answer without inputs."""
    for _ in range(n_epochs):
        for some, labels in script.batches(*train, batch_size):
            script.step(some, labels)
    answers = torch.tensor(held_out[1])
    log_shares = (torch.tensor(train[1]).bincount().double() / len(train[1])).log()
    with torch.no_grad():
        loss = nn.functional.cross_entropy(script.predict(held_out[0]), answers)
    return (loss / -log_shares[answers].mean()).item()


def _check_matrix(X: Matrix) -> None:
    """Rows of one length, at least one of each."""
    if not X or not X[0] or any(len(row) != len(X[0]) for row in X):
        raise ValueError(f"expected rows of one length, at least one of each, got lengths {[len(row) for row in X]}")


def _check_step(x: Vector, eps: float) -> None:
    """Something to move, and a step to move it by."""
    if not x:
        raise ValueError("x must have at least one number, got none")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be finite and above 0, got {eps}")
