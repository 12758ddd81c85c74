"""Find out why a network does not learn: gradient check, hooks, statistics and a checklist, on the standard library."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from phases.deep_learning_core.mini_framework.build_it import Module, Tensor, cross_entropy

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
Script = Any  # what `diagnose` says: model, inputs, loss, step, predict, batches

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


def numerical_gradient(f: Callable[[Vector], float], x: Vector, eps: float = 1e-6) -> Vector:
    """(f(x + eps eᵢ) - f(x - eps eᵢ)) / (2 eps) for each i: central differences.

    Args:
        f: takes a vector, gives a number.
        x: where; left as it is.
        eps: the step. Its error is about eps² |f'''| / 6 + 1.1e-16 |f| / eps.

    Raises:
        ValueError: x is empty, or eps is not above 0.
    """
    _check_step(x, eps)

    def moved(i: int, step: float) -> float:
        return f([v + step if k == i else v for k, v in enumerate(x)])

    return [(moved(i, eps) - moved(i, -eps)) / (2 * eps) for i in range(len(x))]


def gradient_check(
    f: Callable[[Vector], float],
    gradient: Callable[[Vector], Vector],
    x: Vector,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
) -> GradientCheck:
    """Compare a gradient with central differences, by the rule of torch.autograd.gradcheck.

    An entry is right where |analytical - numerical| is finite and at most atol + rtol · |numerical|.

    Args:
        f: takes a vector, gives a number. The same vector must give the same number.
        gradient: takes a vector, gives the partial derivatives of f.
        x: where to compare.
        eps: the step of `numerical_gradient`.
        atol: the absolute tolerance.
        rtol: the relative tolerance.

    Raises:
        ValueError: x is empty; eps is not above 0, or a tolerance below 0; gradient gives not as many numbers as x has.
    """
    if not (atol >= 0 and rtol >= 0):
        raise ValueError(f"atol and rtol must be at least 0, got {atol} and {rtol}")
    numerical = numerical_gradient(f, x, eps)
    analytical = gradient(list(x))
    if len(analytical) != len(x):
        raise ValueError(f"gradient must give {len(x)} numbers, got {len(analytical)}")
    pairs = list(zip(analytical, numerical, strict=True))
    wrong = [i for i, (a, n) in enumerate(pairs) if not (math.isfinite(a - n) and abs(a - n) <= atol + rtol * abs(n))]
    excess = [_ratio(abs(a - n), atol + rtol * abs(n)) for a, n in pairs]
    worst = max(range(len(x)), key=lambda i: math.inf if math.isnan(excess[i]) else excess[i])
    a, n = pairs[worst]
    return GradientCheck(not wrong, wrong, worst, a, n, _ratio(abs(a - n), max(abs(a), abs(n))))


def expected_initial_loss(n_classes: int, logit_std: float = 0.0) -> float:
    """Cross-entropy before training: log n + σ² (1 - 1/n) / 2, for n logits that vary by a small σ about one value.

    Raises:
        ValueError: fewer than one class, or a standard deviation below 0 or not finite.
    """
    if n_classes < 1:
        raise ValueError(f"n_classes must be at least 1, got {n_classes}")
    if not 0 <= logit_std < math.inf:
        raise ValueError(f"logit_std must be finite and at least 0, got {logit_std}")
    return math.log(n_classes) + logit_std**2 * (1 - 1 / n_classes) / 2


def dependence(f: Callable[[Matrix], Any], X: Matrix) -> list[list[bool]]:
    """Which outputs depend on which samples, found with NaN as a dye: what touches it is NaN afterwards.

    Args:
        f: takes n_samples rows, gives a tensor of n_samples rows.
        X: n_samples × n_features; left as it is.

    Returns:
        n_samples × n_samples: whether output row i takes in sample j. A function that treats each sample by itself
        has True on the diagonal alone.

    Raises:
        ValueError: X is no matrix, or f gives another number of rows.
    """
    _check_matrix(X)
    columns = []
    for j in range(len(X)):
        outputs = f([[math.nan] * len(row) if i == j else row for i, row in enumerate(X)]).tolist()
        if len(outputs) != len(X):
            raise ValueError(f"f must give {len(X)} rows for {len(X)} samples, got {len(outputs)}")
        columns.append([any(map(math.isnan, _numbers(output))) for output in outputs])
    return [list(row) for row in zip(*columns, strict=True)]


def record(model: Module, run: Callable[[], Tensor]) -> list[Record]:
    """Put hooks on every layer, run, go backward, and take the hooks off again.

    Args:
        model: its layers are the modules inside it that have no modules inside; itself, if it has none.
        run: calls the model and gives a loss.

    Returns:
        One for each call of a layer, in the order of the calls. The model's gradients are cleared.

    Raises:
        ValueError: the loss needs no gradient.
    """
    records: list[Record] = []
    layers = {id(layer): (name, layer) for name, layer in reversed(list(_layers(model)))}
    for name, layer in layers.values():
        layer.forward = _hooked(name, layer, records)  # the instance's own hides that of its class
    try:
        loss = run()
        if not loss.requires_grad:
            raise ValueError("run must give a loss that requires a gradient, got one that does not")
        loss.backward()
    finally:
        for _, layer in layers.values():
            del layer.forward
        model.zero_grad()
    return records


def _layers(module: Module, name: str = "") -> Iterator[tuple[str, Module]]:
    """The modules without modules inside, with their paths."""
    inside = [(key, value) for key, value in vars(module).items() if isinstance(value, Module)]
    for key, value in inside:
        yield from _layers(value, f"{name}.{key}" if name else key)
    if not inside:
        yield name, module


def _hooked(name: str, layer: Module, records: list[Record]) -> Callable[..., Tensor]:
    """The layer's forward pass, which also records its output and, on the way back, the gradient that comes to it."""
    forward = layer.forward

    def watched(*args: Any) -> Tensor:
        output = forward(*args)
        seen = Record(name, type(layer).__name__, output.tolist())
        records.append(seen)

        def keep(g: Vector) -> Vector:
            seen.gradient = Tensor(g, output.shape).tolist()
            return g

        return Tensor(output.data, output.shape, [(output, keep)])

    return watched


def activation_statistics(output: Matrix, kind: str = "ReLU") -> ActivationStatistics:
    """Mean, standard deviation, and the shares of zeros, of dead, of saturated and of equal units.

    Args:
        output: n_samples × n_units.
        kind: the layer's class. "Sigmoid" and "Tanh" can saturate, any other has a share of 0.

    Raises:
        ValueError: output is no matrix.
    """
    _check_matrix(output)
    values = [v for row in output for v in row]
    units = [list(column) for column in zip(*output, strict=True)]
    mean = sum(values) / len(values)
    std = math.sqrt(sum((v - mean) * (v - mean) for v in values) / len(values))
    slopes = {"Sigmoid": lambda h: 4 * h * (1 - h), "Tanh": lambda h: 1 - h * h}  # 1 at the steepest
    slope = slopes.get(kind, lambda h: 1.0)
    close = 1e-9 * max(map(abs, values))
    alike = [
        any(all(abs(a - b) <= close for a, b in zip(u, v, strict=True)) for k, v in enumerate(units) if k != i)
        for i, u in enumerate(units)
    ]
    return ActivationStatistics(
        mean,
        std,
        zeros=values.count(0.0) / len(values),
        dead=sum(not any(unit) for unit in units) / len(units),
        saturated=sum(slope(v) < 0.1 for v in values) / len(values),
        alike=sum(alike) / len(units),
    )


def gradient_statistics(before: Nested, gradient: Nested | None, after: Nested) -> GradientStatistics:
    """The sizes of a parameter, of its gradient and of its update.

    Args:
        before: the parameter before a step.
        gradient: with the shape of the parameter, or None.
        after: the parameter after the step.

    Raises:
        ValueError: not as many numbers in all of them, or none.
    """
    old, new = list(_numbers(before)), list(_numbers(after))
    slopes = [0.0] * len(old) if gradient is None else list(_numbers(gradient))
    if not len(old) == len(new) == len(slopes) > 0:
        raise ValueError(f"before, gradient and after must match, got {len(old)}, {len(slopes)}, {len(new)} numbers")
    weight_norm, update_norm = _norm(old), _norm([b - a for a, b in zip(old, new, strict=True)])
    return GradientStatistics(weight_norm, _norm(slopes), update_norm, _ratio(update_norm, weight_norm))


def overfit_one_batch(step: Callable[[], float], n_steps: int) -> Vector:
    """Take the same step again and again, until the loss explodes: its size passes 100 · (1 + |first loss|), or NaN.

    Args:
        step: one step of training, always on the same few samples; gives the loss before it.
        n_steps: how many at most.

    Returns:
        The losses; the one that explodes is the last.

    Raises:
        ValueError: n_steps is below 1.
    """
    if n_steps < 1:
        raise ValueError(f"n_steps must be at least 1, got {n_steps}")
    losses = [step()]
    while len(losses) < n_steps and abs(losses[-1]) <= 100 * (1 + abs(losses[0])):
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
    """The checklist, in order: the first finding that has not passed is the one to look into.

    Args:
        make: gives a fresh, untrained script, the same each time. A script has
            model: a Module;
            inputs(X): the tensor that goes into the model;
            loss(X, y): the training loss, a tensor;
            step(X, y): one step of training; gives the loss before it, leaves the gradient it used in each `grad`;
            predict(X): the logits as in evaluation, a tensor;
            batches(X, y, size): pairs (X, y) of one epoch, shuffled.
        X: training samples; the first `batch_size` are the batch of all checks but the last.
        y: their classes, from 0; each class occurs.
        X_held_out: samples that are not in X.
        y_held_out: their classes.
        batch_size: also of the training for the last check.
        n_steps: of the check "one batch".
        n_epochs: of the training for the last check.

    Returns:
        One finding for each entry of CHECKLIST.

    Raises:
        ValueError: samples and classes differ in number, there are none, or `batch_size` is above their number; `y` has
            fewer than two classes, or lacks one of `y_held_out`.
    """
    for rows, labels in ((X, y), (X_held_out, y_held_out)):
        _check_matrix(rows)
        if len(rows) != len(labels):
            raise ValueError(f"{len(rows)} samples need as many classes, got {len(labels)}")
    if not 1 <= batch_size <= len(X):
        raise ValueError(f"batch_size must be from 1 to {len(X)}, got {batch_size}")
    if len(set(y)) < 2 or not set(y_held_out) <= set(y):
        raise ValueError(f"y must have two classes or more, and all of y_held_out, got {set(y)} and {set(y_held_out)}")
    some, labels = X[:batch_size], y[:batch_size]
    n_classes = max(y) + 1
    log_n = expected_initial_loss(n_classes)

    measured = {
        "inputs": _largest_feature(make().inputs(some).tolist()),
        "samples apart": float(_mixed(dependence(make().predict, some))),
        **_of_layers(make(), some, labels),
        "initial loss": make().loss(some, labels).item() / log_n,
        **_of_parameters(make(), some, labels),
        "gradient": float(len(_check_of_step(make(), some, labels).wrong)),
    }
    script = make()
    measured["one batch"] = overfit_one_batch(lambda: script.step(some, labels), n_steps)[-1] / log_n
    measured["held-out loss"] = _held_out(make(), (X, y), (X_held_out, y_held_out), batch_size, n_epochs)
    return [
        Finding(name, measured[name], low, high, low <= measured[name] <= high, look_at)
        for name, (low, high, look_at) in CHECKLIST.items()
    ]


def _largest_feature(X: Matrix) -> float:
    """The root mean square of the feature that has the largest."""
    return max(_norm(column) / math.sqrt(len(X)) for column in zip(*X, strict=True))


def _mixed(depends: list[list[bool]]) -> int:
    """How many outputs take in a sample that is not theirs."""
    return sum(any(taken for j, taken in enumerate(row) if j != i) for i, row in enumerate(depends))


def _check_of_step(script: Script, X: Matrix, y: list[int]) -> GradientCheck:
    """The gradient that the *second* step used, at up to five places of each parameter, against the loss."""
    parameters = list(script.model.parameters())
    script.step(X, y)
    values = [parameter.data for parameter in parameters]
    script.step(X, y)
    gradients = [[0.0] * len(p.data) if p.grad is None else p.grad.data for p in parameters]
    places = [(k, i) for k, v in enumerate(values) for i in range(0, len(v), -(-len(v) // 5))]

    def loss(x: Vector) -> float:
        moved = [list(v) for v in values]
        for (k, i), value in zip(places, x, strict=True):
            moved[k][i] = value
        for parameter, data in zip(parameters, moved, strict=True):
            parameter.data = data
        return script.loss(X, y).item()

    return gradient_check(loss, lambda _: [gradients[k][i] for k, i in places], [values[k][i] for k, i in places])


def _of_layers(script: Script, X: Matrix, y: list[int]) -> dict[str, float]:
    """The statistics of the activations before training; of several layers, the worst."""
    records = record(script.model, lambda: script.loss(X, y))
    seen = [(r.kind, activation_statistics(r.output, r.kind)) for r in records]
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
    gradients = [None if p.grad is None else p.grad.tolist() for p in parameters]
    seen = [gradient_statistics(b, g, p.tolist()) for b, g, p in zip(before, gradients, parameters, strict=True)]
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
    (_, y), (X_held_out, y_held_out) = train, held_out
    loss = cross_entropy(script.predict(X_held_out), y_held_out).item()
    without = -sum(math.log(y.count(label) / len(y)) for label in y_held_out) / len(y_held_out)
    return loss / without


def _ratio(a: float, b: float) -> float:
    """a / b; 0 where a is 0, else inf where b is 0; NaN stays NaN."""
    if a == 0:
        return 0.0
    return a / b if b else a * math.inf


def _norm(values: Any) -> float:
    """The root of the sum of squares."""
    return math.sqrt(sum(v * v for v in values))


def _numbers(tree: Nested) -> Iterator[float]:  # given
    """Every number of a nested list, in order."""
    if isinstance(tree, list):
        for branch in tree:
            yield from _numbers(branch)
    else:
        yield tree


def _check_matrix(X: Matrix) -> None:  # given
    """Rows of one length, at least one of each."""
    if not X or not X[0] or any(len(row) != len(X[0]) for row in X):
        raise ValueError(f"expected rows of one length, at least one of each, got lengths {[len(row) for row in X]}")


def _check_step(x: Vector, eps: float) -> None:  # given
    """Something to move, and a step to move it by."""
    if not x:
        raise ValueError("x must have at least one number, got none")
    if not 0 < eps < math.inf:
        raise ValueError(f"eps must be finite and above 0, got {eps}")


if __name__ == "__main__":
    square = lambda x: x[0] ** 2 + 3 * x[0] * x[1]  # noqa: E731
    print(gradient_check(square, lambda x: [2 * x[0] + 3 * x[1], 3 * x[0]], [1.0, 2.0]))
    print(gradient_check(square, lambda x: [2 * x[0] + 3 * x[0], 3 * x[1]], [1.0, 2.0]))
