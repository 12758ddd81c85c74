"""The same network on PyTorch: torch.nn modules, autograd, torch.optim, and checkpoints by the safetensors library."""

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import safetensors.torch
import torch
import torch._dynamo  # torch imports it with its first optimizer: better now than in the first step
from phases.deep_learning_core.weight_initialization.use_it import kaiming_normal, xavier_uniform
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "SGD",
    "Adam",
    "Evaluation",
    "Parameters",
    "Run",
    "backward",
    "evaluate",
    "forward",
    "initialize",
    "load",
    "loss_and_gradients",
    "predict",
    "save",
    "start",
    "step",
    "train",
]

Vector = list[float]
Matrix = list[list[float]]


@dataclass(frozen=True)
class Parameters:
    """One number for each weight and bias: the parameters themselves, their gradients, or an optimizer's moments.

    Attributes:
        weights: for each layer W, n_in × n_out. (torch.nn.Linear keeps the transpose.)
        biases: for each layer b, n_out numbers.
    """

    weights: list[Matrix]
    biases: list[Vector]


@dataclass(frozen=True)
class SGD:
    """The settings of torch.optim.SGD, with dampening 0 and without Nesterov's change."""

    learning_rate: float = 0.1
    momentum: float = 0.9


@dataclass(frozen=True)
class Adam:
    """The settings of torch.optim.Adam, with its defaults."""

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class Run:
    """A training run at one moment: everything that decides how it goes on, but for the data.

    Attributes:
        parameters: as they are after `n_steps` steps.
        optimizer: its settings.
        moments: what it remembers: one `Parameters` for SGD, two (m, v) for Adam.
        batch_size: rows in each batch; the last one of an epoch may be smaller.
        n_steps: steps made since the beginning.
        position: batches of the current epoch that are used up: at its end all, and the next step begins another.
        random_state: `rng.getstate()` from before the order of the current epoch was drawn.
    """

    parameters: Parameters
    optimizer: SGD | Adam
    moments: list[Parameters]
    batch_size: int
    n_steps: int
    position: int
    random_state: tuple[Any, ...]


@dataclass(frozen=True)
class Evaluation:
    """How well a network does on labelled data.

    Attributes:
        loss: the mean cross-entropy, in nats.
        accuracy: the share of rows whose largest logit is that of their label.
        confusion: n_classes × n_classes; confusion[i][k] counts rows of class i that are predicted as k.
    """

    loss: float
    accuracy: float
    confusion: list[list[int]]


STATE = {SGD: ["momentum_buffer"], Adam: ["exp_avg", "exp_avg_sq"]}  # torch's names of the moments


def initialize(sizes: list[int], rng: Random, scheme: str = "he") -> Parameters:
    """torch.nn.init.kaiming_normal_ (nonlinearity "relu") or xavier_uniform_, with draws from `rng`; biases of 0."""
    if len(sizes) < 2 or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be two or more integers of at least 1, got {sizes}")
    if scheme not in ("he", "xavier"):
        raise ValueError(f"scheme must be he or xavier, got {scheme!r}")
    weights = []
    for n_in, n_out in pairwise(sizes):
        if scheme == "he":
            by_unit = kaiming_normal((n_out, n_in), nonlinearity="relu", rng=rng)
        else:
            by_unit = xavier_uniform((n_out, n_in), rng=rng)
        weights.append(torch.tensor(by_unit, dtype=torch.float64).T.tolist())
    return Parameters(weights, [[0.0] * n_out for n_out in sizes[1:]])


def forward(parameters: Parameters, X: Matrix) -> list[Matrix]:
    """torch.nn.Linear and torch.nn.ReLU, one after the other, without a graph."""
    model = _model(parameters)
    with torch.inference_mode():
        return [H.tolist() for H in _activations(model, _matrix("X", X, model[0].in_features))]


def backward(parameters: Parameters, activations: list[Matrix], output_gradient: Matrix) -> Parameters:
    """torch.autograd: Tensor.backward with an upstream gradient.

    Plain lists carry no graph, so the forward pass is recorded again from activations[0].
    """
    model = _model(parameters)
    _check_length("activations", activations, len(parameters.weights) + 1)
    upstream = _matrix("output_gradient", output_gradient, model[-1].out_features)
    _check_length("output_gradient", output_gradient, len(activations[-1]))
    model(_matrix("X", activations[0], model[0].in_features)).backward(upstream)
    return _gather(parameter.grad for parameter in model.parameters())


def loss_and_gradients(parameters: Parameters, X: Matrix, labels: list[int]) -> tuple[float, Parameters]:
    """torch.nn.functional.cross_entropy, and its gradient by autograd."""
    model = _model(parameters)
    inputs = _matrix("X", X, model[0].in_features)
    loss = functional.cross_entropy(model(inputs), _labels(labels, len(inputs), model[-1].out_features))
    _check_loss(loss.item())
    loss.backward()
    return loss.item(), _gather(parameter.grad for parameter in model.parameters())


def predict(parameters: Parameters, X: Matrix) -> list[int]:
    """torch.argmax over the classes; where logits are equal it takes the first."""
    model = _model(parameters)
    with torch.inference_mode():
        return model(_matrix("X", X, model[0].in_features)).argmax(dim=1).tolist()


def evaluate(parameters: Parameters, X: Matrix, labels: list[int]) -> Evaluation:
    """torch.nn.functional.cross_entropy, torch.argmax, and torch.bincount for the confusion matrix."""
    model = _model(parameters)
    n_classes = model[-1].out_features
    with torch.inference_mode():
        logits = model(_matrix("X", X, model[0].in_features))
        targets = _labels(labels, len(logits), n_classes)
        loss = functional.cross_entropy(logits, targets)
        cells = targets * n_classes + logits.argmax(dim=1)
        confusion = torch.bincount(cells, minlength=n_classes**2).view(n_classes, n_classes)
    _check_loss(loss.item())
    return Evaluation(loss.item(), confusion.trace().item() / len(labels), confusion.tolist())


def step(
    optimizer: SGD | Adam, parameters: Parameters, gradients: Parameters, moments: list[Parameters], t: int
) -> tuple[Parameters, list[Parameters]]:
    """torch.optim.SGD or Adam, with gradients and state put where training would have left them."""
    _check_state(optimizer, parameters, moments)
    _check_like("gradients", gradients, parameters)
    _check_count("t", t, 1)
    model = _model(parameters)
    for parameter, gradient in zip(model.parameters(), _tensors(gradients), strict=True):
        parameter.grad = gradient
    mover = _mover(optimizer, model, moments, t - 1)
    mover.step()
    _check_finite(model, mover)
    return _gather(model.parameters()), _moments(optimizer, mover)


def start(parameters: Parameters, optimizer: SGD | Adam, batch_size: int, rng: Random) -> Run:
    """torch makes an optimizer's state at its first step; these are the zeros that it makes."""
    _model(parameters)
    _check_optimizer(optimizer)
    zeros = _gather(map(torch.zeros_like, _tensors(parameters)))
    run = Run(parameters, optimizer, [zeros] * len(STATE[type(optimizer)]), batch_size, 0, 0, rng.getstate())
    _check_run(run)
    return run


def train(run: Run, X: Matrix, labels: list[int], n_steps: int) -> tuple[Run, Vector]:
    """The loop of every torch program: gradients cleared, loss, backward(), step().

    A torch.utils.data.DataLoader would draw the order from torch's generator; here it must be the other twin's.
    """
    _check_run(run)
    model = _model(run.parameters)
    inputs = _matrix("X", X, model[0].in_features)
    targets = _labels(labels, len(inputs), model[-1].out_features)
    _check_count("n_steps", n_steps, 0)
    mover = _mover(run.optimizer, model, run.moments, run.n_steps)
    rng, before, position = Random(), run.random_state, run.position
    rng.setstate(before)
    order = _order(len(inputs), run.batch_size, rng)
    if position > len(order):
        raise ValueError(f"an epoch of {len(inputs)} rows has {len(order)} batches, and the run is at batch {position}")
    losses = []
    for t in range(run.n_steps + 1, run.n_steps + n_steps + 1):
        if position == len(order):
            before, position = rng.getstate(), 0
            order = _order(len(inputs), run.batch_size, rng)
        rows = order[position]
        mover.zero_grad()
        loss = functional.cross_entropy(model(inputs[rows]), targets[rows])
        try:
            _check_loss(loss.item())
            loss.backward()
            mover.step()
            _check_finite(model, mover)
        except ValueError as error:
            raise ValueError(f"step {t}: {error}; a smaller learning rate may help") from error
        position += 1
        losses.append(loss.item())
    moments = _moments(run.optimizer, mover) if n_steps else run.moments
    n_made = run.n_steps + n_steps
    return Run(_gather(model.parameters()), run.optimizer, moments, run.batch_size, n_made, position, before), losses


def save(run: Run, stem: str | Path) -> None:
    """safetensors.torch.save_file for the tensors, json for the rest."""
    named = {"": run.parameters} | {f"moments.{k}.": moment for k, moment in enumerate(run.moments)}
    tensors = {}
    for prefix, values in named.items():
        for i, (W, b) in enumerate(zip(values.weights, values.biases, strict=True)):
            tensors[f"{prefix}weights.{i}"] = torch.tensor(W, dtype=torch.float64)
            tensors[f"{prefix}biases.{i}"] = torch.tensor(b, dtype=torch.float64)
    part = Path(f"{stem}.safetensors.part")
    safetensors.torch.save_file(tensors, part)
    facts = {
        "sizes": _sizes(run.parameters),
        "optimizer": {"name": type(run.optimizer).__name__} | asdict(run.optimizer),
        "batch_size": run.batch_size,
        "n_steps": run.n_steps,
        "position": run.position,
        "random_state": run.random_state,
        "sha256": hashlib.sha256(part.read_bytes()).hexdigest(),
    }
    part.replace(f"{stem}.safetensors")
    part = Path(f"{stem}.json.part")
    part.write_text(json.dumps(facts) + "\n", encoding="utf-8", newline="\n")
    part.replace(f"{stem}.json")


def load(stem: str | Path) -> Run:
    """safetensors.torch.load_file for the tensors, json for the rest."""
    file = Path(f"{stem}.safetensors")
    try:
        facts = json.loads(Path(f"{stem}.json").read_text(encoding="utf-8"))
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if found != facts["sha256"]:
            raise ValueError(f"{file} has sha256 {found}, and not {facts['sha256']}")
        settings = dict(facts["optimizer"])
        optimizer = {"SGD": SGD, "Adam": Adam}[settings.pop("name")](**settings)
        _check_optimizer(optimizer)
        tensors = {name: values.tolist() for name, values in safetensors.torch.load_file(file).items()}
        layers = range(len(facts["sizes"]) - 1)
        prefixes = ["", *(f"moments.{k}." for k in range(len(STATE[type(optimizer)])))]
        parameters, *moments = (
            Parameters(
                [tensors.pop(f"{prefix}weights.{i}") for i in layers],
                [tensors.pop(f"{prefix}biases.{i}") for i in layers],
            )
            for prefix in prefixes
        )
        version, words, gauss = facts["random_state"]
        run = Run(
            parameters,
            optimizer,
            moments,
            facts["batch_size"],
            facts["n_steps"],
            facts["position"],
            (version, tuple(words), gauss),
        )
        _check_run(run)
        if _sizes(parameters) != facts["sizes"] or tensors:
            raise ValueError(f"its tensors are of the sizes {_sizes(parameters)}, and not {facts['sizes']}")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, safetensors.SafetensorError) as error:
        raise ValueError(f"expected a checkpoint in {stem}.json and {file}, got {error!r}") from error
    return run


def _model(parameters: Parameters) -> nn.Sequential:
    """Linear, ReLU, Linear, …, Linear in float64 (torch's own default is float32), with these parameters."""
    _check_parameters(parameters)
    modules: list[nn.Module] = []
    for W, b in zip(parameters.weights, parameters.biases, strict=True):
        linear = nn.utils.skip_init(nn.Linear, len(W), len(b), dtype=torch.float64)
        weight, bias = (torch.tensor(values, dtype=torch.float64) for values in (W, b))
        linear.load_state_dict({"weight": weight.T, "bias": bias})
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def _activations(model: nn.Sequential, X: Tensor) -> list[Tensor]:
    """X, what each ReLU gives, and the logits."""
    kept, H = [X], X
    for module in model:
        H = module(H)
        if isinstance(module, nn.ReLU):
            kept.append(H)
    return [*kept, H]


def _tensors(parameters: Parameters) -> list[Tensor]:
    """In the order and the shapes of model.parameters()."""
    both = zip(parameters.weights, parameters.biases, strict=True)
    return [
        tensor
        for W, b in both
        for tensor in (torch.tensor(W, dtype=torch.float64).T, torch.tensor(b, dtype=torch.float64))
    ]


def _gather(tensors: Iterator[Tensor]) -> Parameters:
    """Back from `_tensors`."""
    both = list(tensors)
    return Parameters([W.T.tolist() for W in both[::2]], [b.tolist() for b in both[1::2]])


def _mover(
    settings: SGD | Adam, model: nn.Sequential, moments: list[Parameters], n_steps: int
) -> torch.optim.Optimizer:
    """torch's optimizer after n_steps steps."""
    if isinstance(settings, SGD):
        mover = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    else:
        betas = settings.beta1, settings.beta2
        mover = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=betas, eps=settings.eps)
    kept = zip(*map(_tensors, moments), strict=True)
    for parameter, values in zip(model.parameters(), kept, strict=True):
        mover.state[parameter] = {"step": torch.tensor(float(n_steps))}
        mover.state[parameter] |= {k: v.clone() for k, v in zip(STATE[type(settings)], values, strict=True)}
    return mover


def _moments(settings: SGD | Adam, mover: torch.optim.Optimizer) -> list[Parameters]:
    """What the optimizer remembers. Without momentum torch keeps no buffer; ours is then the gradient."""
    parameters = mover.param_groups[0]["params"]
    if isinstance(settings, SGD) and settings.momentum == 0:
        return [_gather(parameter.grad for parameter in parameters)]
    return [_gather(mover.state[parameter][name] for parameter in parameters) for name in STATE[type(settings)]]


def _order(n_samples: int, batch_size: int, rng: Random) -> list[Tensor]:
    """One epoch: every row once, in random order, cut into batches."""
    return list(torch.tensor(rng.sample(range(n_samples), n_samples)).split(batch_size))


def _sizes(parameters: Parameters) -> list[int]:
    return [len(parameters.weights[0]), *map(len, parameters.biases)]


def _matrix(name: str, rows: Matrix, n_columns: int) -> Tensor:
    """A float64 tensor; torch itself raises ValueError where the rows differ in length."""
    tensor = torch.tensor(rows, dtype=torch.float64)
    if tensor.ndim != 2 or not len(tensor) or tensor.shape[1] != n_columns:
        raise ValueError(f"{name} must be one row or more of {n_columns} numbers, got the shape {list(tensor.shape)}")
    if not tensor.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers, got {rows}")
    return tensor


def _labels(labels: list[int], n: int, n_classes: int) -> Tensor:
    """Class indices; torch itself would skip a label of -100."""
    _check_length("labels", labels, n)
    for label in labels:
        if not isinstance(label, int) or not 0 <= label < n_classes:
            raise ValueError(f"a label must be an int from 0 to {n_classes - 1}, got {label!r}")
    return torch.tensor(labels)


def _check_loss(loss: float) -> None:
    if not math.isfinite(loss):
        raise ValueError(f"the loss must be finite, got {loss}")


def _check_finite(model: nn.Sequential, mover: torch.optim.Optimizer) -> None:
    """torch itself takes infinite gradients, and steps out of the floats."""
    state = (tensor for values in mover.state.values() for tensor in values.values())
    if not all(tensor.isfinite().all() for tensor in (*model.parameters(), *state)):
        raise ValueError("parameters and moments must be finite after a step, got infinity or NaN")


def _check_count(name: str, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def _check_length(name: str, values: list, n: int) -> None:
    if len(values) != n:
        raise ValueError(f"{name} must have {n} entries, got {len(values)}")


def _check_parameters(parameters: Parameters) -> None:
    if not parameters.weights or not parameters.weights[0]:
        raise ValueError("parameters must have one layer or more with one input or more, got none")
    _check_length("biases", parameters.biases, len(parameters.weights))
    n_in = len(parameters.weights[0])
    for i, (W, b) in enumerate(zip(parameters.weights, parameters.biases, strict=True)):
        _check_length(f"weights of layer {i}", W, n_in)
        _matrix(f"weights and biases of layer {i}", [*W, b], len(b))
        n_in = len(b)
        if not n_in:
            raise ValueError(f"layer {i} must have one unit or more, got none")


def _check_like(name: str, values: Parameters, parameters: Parameters) -> None:
    _check_parameters(values)
    if _sizes(values) != _sizes(parameters):
        raise ValueError(f"{name} must be of the sizes {_sizes(parameters)}, got {_sizes(values)}")


def _check_state(optimizer: SGD | Adam, parameters: Parameters, moments: list[Parameters]) -> None:
    _check_optimizer(optimizer)
    _check_parameters(parameters)
    _check_length("moments", moments, len(STATE[type(optimizer)]))
    for moment in moments:
        _check_like("moments", moment, parameters)


def _check_run(run: Run) -> None:
    _check_state(run.optimizer, run.parameters, run.moments)
    _check_count("batch_size", run.batch_size, 1)
    _check_count("n_steps", run.n_steps, 0)
    _check_count("position", run.position, 0)
    Random().setstate(run.random_state)


def _check_optimizer(optimizer: SGD | Adam) -> None:
    """torch.optim checks most of these itself, but lets NaN, infinity and an eps of 0 pass."""
    if not isinstance(optimizer, SGD | Adam):
        raise ValueError(f"optimizer must be SGD or Adam, got {optimizer!r}")
    if not 0 <= optimizer.learning_rate < math.inf:
        raise ValueError(f"learning_rate must be finite and at least 0, got {optimizer.learning_rate}")
    for name in ("momentum",) if isinstance(optimizer, SGD) else ("beta1", "beta2"):
        if not 0 <= getattr(optimizer, name) < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(optimizer, name)}")
    if isinstance(optimizer, Adam) and not 0 < optimizer.eps < math.inf:
        raise ValueError(f"eps must be finite and above 0, got {optimizer.eps}")
