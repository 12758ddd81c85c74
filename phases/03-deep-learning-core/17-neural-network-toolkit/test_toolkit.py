"""The package that this lesson ships: against torch, against itself after interruptions, and against bad input."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from shared.proof import readme

HERE = Path(__file__).parent
SOURCE = HERE / "nn-toolkit" / "src"
if str(SOURCE) not in sys.path:
    sys.path.insert(0, str(SOURCE))

from nn_toolkit import bench, cli, data, images, initializers, layers, losses, tensors, training  # noqa: E402
from nn_toolkit.architecture import Architecture, from_json, parse  # noqa: E402
from nn_toolkit.network import Network  # noqa: E402
from nn_toolkit.tensors import read_tensors, write_tensors  # noqa: E402
from nn_toolkit.training import Run, Settings, split  # noqa: E402

ABOUT = {"name": "toy", "regression": False, "validation": 0.0, "fingerprint": 0}
CONV = HERE / "nn-toolkit" / "examples" / "mnist-conv.toml"


def network(shape: Any, *tables: dict[str, Any], seed: int = 0) -> Network:
    return Network(from_json({"input": shape, "layers": list(tables)}, "test"), seed=seed, dtype="float64")


DENSE = {"type": "dense", "units": 4}
NETWORKS: dict[str, tuple[Any, ...]] = {
    "one layer": (3, DENSE),
    "784-like": (6, {"type": "dense", "units": 5}, {"type": "relu"}, DENSE),
    "leaky, tanh": (3, DENSE, {"type": "leaky-relu", "slope": 0.2}, DENSE, {"type": "tanh"}, DENSE),
    "sigmoid, softmax": (3, DENSE, {"type": "sigmoid"}, DENSE, {"type": "softmax"}, DENSE),
    "batch norm": (3, DENSE, {"type": "batch-norm", "momentum": 0.3}, {"type": "relu"}, DENSE),
    "conv": ([2, 6, 5], {"type": "conv2d", "channels": 3, "size": 3}, {"type": "flatten"}, DENSE),
    "conv, stride and padding": (
        [2, 7, 6],
        {"type": "conv2d", "channels": 3, "size": 3, "stride": 2, "padding": 1},
        {"type": "relu"},
        {"type": "conv2d", "channels": 2, "size": 2, "padding": 2, "stride": 3},
        {"type": "flatten"},
        DENSE,
    ),
    "pools": (
        [1, 9, 8],
        {"type": "conv2d", "channels": 2, "size": 2},
        {"type": "relu"},
        {"type": "max-pool", "size": 3, "stride": 2},
        {"type": "batch-norm"},
        {"type": "max-pool", "size": 2},
        {"type": "flatten"},
        DENSE,
    ),
    "flatten first": ([2, 3, 4], {"type": "flatten"}, DENSE),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("n_samples", [2, 7])
def test_outputs_and_gradients_are_torchs(name: str, n_samples: int) -> None:
    net = network(*NETWORKS[name], seed=3)
    twin = bench.torch_twin(torch, net)
    rng = np.random.default_rng(len(name))
    shape = net.architecture.input
    X = np.round(rng.normal(0, 2, (n_samples, *shape)))  # whole numbers, so that pooling windows have ties
    upstream = rng.normal(0, 1, (n_samples, net.n_outputs))
    outputs = net.forward(X, training=True)
    expected = twin(torch.tensor(X))
    np.testing.assert_allclose(outputs, expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    net.backward(upstream)
    expected.backward(torch.tensor(upstream))
    for (place, p), module in zip(enumerate(net.layers), twin, strict=True):
        for key, gradient in p.gradients.items():
            wanted = getattr(module, key).grad.numpy()
            wanted = wanted.T if isinstance(p, layers.Dense) and key == "weight" else wanted
            np.testing.assert_allclose(gradient, wanted, rtol=1e-9, atol=1e-12, err_msg=f"{place}.{key}")
        for key, buffer in p.buffers.items():
            np.testing.assert_allclose(buffer, getattr(module, key).numpy(), rtol=1e-9, err_msg=f"{place}.{key}")
    twin.eval()
    np.testing.assert_allclose(net.predict(X), twin(torch.tensor(X)).detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["leaky, tanh", "sigmoid, softmax", "batch norm", "conv, stride and padding", "pools"])
def test_gradients_are_slopes(name: str) -> None:
    """The third witness: finite differences."""
    net = network(*NETWORKS[name], seed=5)
    rng = np.random.default_rng(7)
    X = rng.normal(0, 1, (5, *net.architecture.input))
    upstream = rng.normal(0, 1, (5, net.n_outputs))
    net.forward(X, training=True)
    net.backward(upstream)
    found = net.gradient.copy()
    h = 1e-6
    for place in rng.choice(len(net.theta), 12, replace=False):
        values = []
        for sign in (1, -1):
            net.theta[place] += sign * h
            values.append(float((net.forward(X, training=True) * upstream).sum()))
            net.theta[place] -= sign * h
        assert (values[0] - values[1]) / (2 * h) == pytest.approx(found[place], rel=1e-5, abs=1e-7)


def test_the_first_of_equal_values_in_a_window_takes_the_gradient() -> None:
    pool = layers.MaxPool(2)
    pool.build((1, 2, 4))
    pool.forward(np.array([[[[1.0], [1.0], [0.0], [2.0]], [[1.0], [0.0], [2.0], [2.0]]]]), training=True)
    gradient = pool.backward(np.array([[[[5.0], [7.0]]]]))
    assert gradient is not None
    assert gradient[0, :, :, 0].tolist() == [[5, 0, 0, 7], [0, 0, 0, 0]]


def test_dropout_keeps_the_mean_and_sends_gradients_where_it_let_values_through() -> None:
    dropout = layers.Dropout(0.25)
    x = np.ones((200, 50))
    y = dropout.forward(x, training=True, rng=np.random.default_rng(0))
    assert set(np.unique(y)) == {0.0, 1 / 0.75}
    assert y.mean() == pytest.approx(1, abs=0.02)  # 10,000 draws: the standard deviation of the mean is 0.006
    assert (dropout.backward(np.full_like(x, 3.0)) == 3 * y).all()
    assert dropout.forward(x, training=False) is x
    with pytest.raises(ValueError, match="Generator"):
        dropout.forward(x, training=True)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_losses_are_torchs(scale: float) -> None:
    rng = np.random.default_rng(0)
    outputs, y = scale * rng.normal(0, 1, (6, 4)), rng.integers(0, 4, 6)
    tensor = torch.tensor(outputs, requires_grad=True)
    cases: list[tuple[Callable[..., Any], torch.Tensor, np.ndarray]] = [
        (losses.cross_entropy, torch.nn.functional.cross_entropy(tensor, torch.tensor(y)), y),
        (losses.mse, torch.nn.functional.mse_loss(tensor, torch.eye(4, dtype=torch.float64)[y]), y),
        (losses.mse, torch.nn.functional.mse_loss(tensor, torch.tensor(outputs[::-1].copy())), outputs[::-1]),
    ]
    for loss, expected, targets in cases:
        tensor.grad = None
        expected.backward()
        value, gradient = loss(outputs.copy(), targets)
        assert value == pytest.approx(expected.item(), rel=1e-9)
        np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("label", [-1, 4])
@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_label_that_is_no_class(loss: str, label: int) -> None:
    with pytest.raises(ValueError, match=rf"label {label} of sample 2: the network's classes are 0 to 3"):
        losses.LOSSES[loss](np.zeros((3, 4)), np.array([0, 3, label]))


def test_initializers_have_the_variance_that_they_promise() -> None:
    rng = np.random.default_rng(0)
    spec = layers.Spec((300, 200), 300, 200)
    drawn = {name: make(spec, rng) for name, make in initializers.INITIALIZERS.items()}
    assert not drawn["zeros"].any()
    for name, variance in {"normal": 1e-4, "xavier": 2 / 500, "he": 2 / 300}.items():
        assert drawn[name].var() == pytest.approx(variance, rel=0.03), name  # 60,000 draws
        assert abs(drawn[name].mean()) < 5 * np.sqrt(variance / drawn[name].size), name
    assert np.abs(drawn["xavier"]).max() <= np.sqrt(6 / 500)


def toy(n_samples: int, shape: tuple[int, ...], n_classes: int = 4, seed: int = 0) -> data.Data:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n_samples)
    X = (
        rng.integers(0, 256, (n_samples, *shape))
        if len(shape) == 3
        else rng.normal(y[:, None], 1.0, (n_samples, *shape))
    )
    return data.Data(X, y, tuple("abcd"[:n_classes]), "toy")


def as_torch(optimizer: str, parameters: Any) -> torch.optim.Optimizer:
    if optimizer == "adam":
        return torch.optim.Adam(parameters, lr=1.0)
    return torch.optim.SGD(parameters, lr=1.0, momentum=0.9 if optimizer == "momentum" else 0.0)


SMALL_CONV = (
    [1, 8, 8],
    {"type": "conv2d", "channels": 3, "size": 3, "padding": 1},
    {
        "type": "relu"
    },  # before the batch norm: right before it, a bias has the gradient 0, and Adam scales up its rounding
    {"type": "batch-norm"},
    {"type": "max-pool", "size": 2},
    {"type": "flatten"},
    DENSE,
)
# Of float32: 100 steps of rounding at 6e-8 each, which Adam magnifies where a second moment is close to 0.
TOLERANCES = {"float64": 1e-9, "float32": 1e-3}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("kind", ["dense", "conv"])
def test_a_hundred_steps_are_torchs(kind: str, optimizer: str, dtype: str) -> None:
    """Losses of every step, and all parameters after 1, 10 and 100: same start, same batches, same schedule."""
    dense = (3, {"type": "dense", "units": 8}, {"type": "tanh"}, DENSE)
    shape, *tables = SMALL_CONV if kind == "conv" else dense
    samples = toy(100, (1, 8, 8) if kind == "conv" else (3,))
    settings = Settings(optimizer=optimizer, learning_rate=0.01, batch_size=16, epochs=15, dtype=dtype, seed=1)
    run = Run.new(from_json({"input": shape, "layers": tables}, "test"), settings, samples, {})
    twin = bench.torch_twin(torch, run.network)
    other = as_torch(optimizer, twin.parameters())
    X = torch.from_numpy(run.scaling(samples.X, run.network.dtype)).reshape(
        len(samples), *run.network.architecture.input
    )
    y = torch.from_numpy(samples.y)
    rtol = TOLERANCES[dtype]
    step, loss_function = run._step, run._loss
    seen: list[float] = []

    def noted(outputs: Any, labels: Any) -> Any:
        loss, gradient = loss_function(outputs, labels)
        seen.append(loss)
        return loss, gradient

    run._loss = noted
    compared = 0

    def both(batch: Any, labels: Any) -> None:
        nonlocal compared
        order = np.random.default_rng([1, training.ORDER, run.epoch, 0]).permutation(len(samples))
        chosen = torch.from_numpy(order[run.batch * 16 :][:16])
        other.param_groups[0]["lr"] = run.learning_rate(7)
        step(batch, labels)
        other.zero_grad()
        loss = torch.nn.functional.cross_entropy(twin(X[chosen]), y[chosen])
        loss.backward()
        other.step()
        compared += 1
        if compared <= 100:
            assert seen[-1] == pytest.approx(loss.item(), rel=rtol), compared
        if compared in (1, 10, 100):
            for (name, found), wanted in zip(run.network.parameters.items(), twin.parameters(), strict=True):
                wanted_ = wanted.detach().numpy()
                wanted_ = wanted_.T if name.endswith("weight") and found.ndim == 2 else wanted_
                np.testing.assert_allclose(found, wanted_, rtol=rtol, atol=rtol * 1e-1, err_msg=f"{name}, {compared}")

    run._step = both  # type: ignore[method-assign]
    run.train(samples, None)
    assert compared == 105


ALL_KINDS = (
    [1, 8, 8],
    {"type": "conv2d", "channels": 2, "size": 3},
    {"type": "batch-norm"},
    {"type": "relu"},
    {"type": "max-pool", "size": 2},
    {"type": "flatten"},
    {"type": "dropout", "rate": 0.3},
    DENSE,
)


class InterruptedRunError(Exception):
    """In the place of a killed process."""


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("at", [(0, 1), (1, 0), (1, 3), (2, 4)])
def test_a_run_that_goes_on_is_the_run_that_was_never_interrupted(
    tmp_path: Path, optimizer: str, at: tuple[int, int]
) -> None:
    """To the last bit: weights, moments, running statistics, history; with dropout, batch norm and validation."""
    samples = toy(70, (1, 8, 8))
    training_, validation = split(samples, 14, 0)
    shape, *tables = ALL_KINDS
    settings = Settings(optimizer=optimizer, batch_size=16, epochs=3, seed=4, learning_rate=0.01)
    architecture = from_json({"input": shape, "layers": tables}, "test")
    whole = Run.new(architecture, settings, samples, ABOUT)
    whole.train(training_, validation)

    def stop(run: Run, n_batches: int) -> None:
        if (run.epoch, run.batch) == at:
            run.save(tmp_path)
            raise InterruptedRunError

    broken = Run.new(architecture, settings, samples, ABOUT)
    with pytest.raises(InterruptedRunError):
        broken.train(training_, validation, stop)
    resumed = Run.load(tmp_path, "last")
    resumed.train(training_, validation)
    assert (resumed.network.theta == whole.network.theta).all()
    for name, buffer in whole.network.buffers.items():
        assert (resumed.network.buffers[name] == buffer).all(), name
    for name, vector in whole.optimizer.state.items():
        assert (resumed.optimizer.state[name] == vector).all(), name
    for one, other in zip(resumed.history, whole.history, strict=True):
        assert {**one.__dict__, "seconds": 0} == {**other.__dict__, "seconds": 0}


def test_other_seeds_give_other_runs() -> None:
    samples = toy(40, (3,))
    thetas = []
    for seed in (0, 0, 1):
        run = Run.new(parse("3-5-4", dropout=0.2), Settings(seed=seed, epochs=1, batch_size=8), samples, {})
        run.train(samples, None)
        thetas.append(run.network.theta)
    assert (thetas[0] == thetas[1]).all()
    assert not (thetas[0] == thetas[2]).any()


def test_early_stopping_keeps_the_best_weights(tmp_path: Path) -> None:
    samples = toy(60, (3,), seed=1)
    training_, validation = split(samples, 30, 0)
    assert validation is not None
    settings = Settings(epochs=200, patience=3, batch_size=4, learning_rate=0.05, schedule="constant")
    run = Run.new(parse("3-32-4"), settings, samples, ABOUT)
    run.train(training_, validation, lambda run, n: None if run.batch else run.save(tmp_path))
    measured = [e.validation_loss for e in run.history]
    assert run.stopped and len(measured) < 200
    assert run.best == 1 + int(np.argmin(measured)) == len(measured) - 3
    assert Run.load(tmp_path).measure(validation)[0] == pytest.approx(min(measured), rel=1e-6)
    assert Run.load(tmp_path, "last").measure(validation)[0] == pytest.approx(measured[-1], rel=1e-6)
    weights = {f"{run.identity}-epoch-{epoch}.safetensors" for epoch in (run.best, run.epoch)}
    assert {file.name for file in tmp_path.iterdir()} == {"model.json", *weights}


@pytest.mark.parametrize(("rate", "where"), [(1e6, "the outputs are finite and too large"), (1e38, "of layer ")])
def test_a_loss_that_is_not_finite_says_where(rate: float, where: str) -> None:
    samples = toy(64, (3,))
    settings = Settings(optimizer="sgd", learning_rate=rate, batch_size=8, schedule="constant", epochs=50)
    run = Run.new(parse("3-8-8-4"), settings, samples, {})
    with np.errstate(all="ignore"), pytest.raises(training.DivergedError) as caught:
        run.train(samples, None)
    told = str(caught.value)
    assert f"in epoch {run.epoch + 1}, batch {run.batch + 1}" in told
    assert where in told and "learning rate" in told


def test_safetensors_are_those_of_the_library(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {"a": rng.normal(size=(3, 4)), "b": rng.normal(size=5).astype(np.float32), "c": np.array([1, -2, 3])}
    write_tensors(tmp_path / "ours", tensors)
    save_file(tensors, tmp_path / "theirs")
    for read in (read_tensors(tmp_path / "theirs"), load_file(tmp_path / "ours"), read_tensors(tmp_path / "ours")):
        assert set(read) == set(tensors)
        for name, tensor in tensors.items():
            assert read[name].dtype == tensor.dtype
            assert (read[name] == tensor).all()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A trained network in a folder, and the only file of its weights."""
    samples = data.load("digits", "train")
    run = Run.new(parse("64-8-10"), Settings(epochs=1), samples, ABOUT | {"name": "digits"})
    run.train(samples.take(np.arange(100)), None)
    run.save(tmp_path / "run")
    return tmp_path / "run"


def damage(folder: Path, how: str) -> None:
    (weights,), model = folder.glob("*-epoch-1.safetensors"), folder / "model.json"
    content = weights.read_bytes()
    table = json.loads(model.read_text())
    match how:
        case "cut short":
            weights.write_bytes(content[:-10])
        case "empty":
            weights.write_bytes(b"")
        case "a bit flipped":
            weights.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        case "no weights":
            weights.unlink()
        case "another network":
            table["architecture"]["layers"][0]["units"] = 9
        case "another dtype":
            table["settings"]["dtype"] = "float64"
        case "a tensor less":
            tensors = read_tensors(weights)
            write_tensors(weights, {name: t for name, t in tensors.items() if name != "0.bias"})
        case "json cut short":
            model.write_text(model.read_text()[:-30])
            return
        case "a later version":
            table["format"] = "nn-toolkit 2"
        case "settings missing":
            del table["settings"]
        case "weights not finite":
            tensors = {name: np.array(t) for name, t in read_tensors(weights).items()}
            tensors["0.bias"][0] = np.nan
            write_tensors(weights, tensors)
        case "a path for weights":
            table["weights"]["best"] = f"../{folder.name}/{weights.name}"
        case "unknown progress":
            table["progress"]["more"] = 1
        case "no network":
            model.unlink()
            return
    model.write_text(json.dumps(table))


DAMAGES = {
    "cut short": "is no safetensors file, or is cut short",
    "empty": "is no safetensors file, or is cut short",
    "a bit flipped": "does not have the checksum",
    "no weights": "cannot be read: No such file",
    "another network": "is float32 of 8, and model.json says float32 of 9",
    "another dtype": "float32 of .*, and model.json says float64",
    "a tensor less": "lacks 0.bias",
    "json cut short": "model.json is damaged",
    "a later version": "its format is not 'nn-toolkit 1'",
    "settings missing": "model.json is damaged: it lacks 'settings'",
    "unknown progress": "model.json is damaged: instead of epoch, batch",
    "weights not finite": "0.bias holds values that are not finite",
    "a path for weights": "is no name of a file of weights",
    "no network": "holds no trained network",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_named(saved: Path, how: str) -> None:
    Run.load(saved)
    damage(saved, how)
    with pytest.raises(ValueError, match=DAMAGES[how]):
        Run.load(saved)


def scanlines(pixels: np.ndarray, kind: int, step: int) -> bytes:
    """The rows of an image, each filtered as PNG's specification says (its section 9.2)."""
    rows = pixels.reshape(len(pixels), -1).astype(int)
    out = b""
    for y, row in enumerate(rows):
        above = rows[y - 1] if y else np.zeros_like(row)
        filtered = []
        for x, value in enumerate(row):
            a = row[x - step] if x >= step else 0
            b = above[x]
            c = above[x - step] if x >= step else 0
            p = a + b - c
            distances = [abs(p - a), abs(p - b), abs(p - c)]
            paeth = [a, b, c][distances.index(min(distances))]
            filtered.append((value - [0, a, b, (a + b) // 2, paeth][kind]) % 256)
        out += bytes([kind]) + bytes(filtered)
    return out


def png_file(  # noqa: PLR0917
    width: int, height: int, depth: int, colour: int, rows: bytes, more: dict[bytes, bytes] | None = None
) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = {b"IHDR": header, **(more or {}), b"IDAT": zlib.compress(rows), b"IEND": b""}
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_every_filter_and_colour(tmp_path: Path, kind: int, colour: int, channels: int) -> None:
    pixels = np.random.default_rng(kind).integers(0, 256, (5, 4, channels))
    (tmp_path / "x.png").write_bytes(png_file(4, 5, 8, colour, scanlines(pixels, kind, channels)))
    grey = pixels[..., 0] if channels < 3 else pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
    grey = grey * pixels[..., -1] / 255 if channels in (2, 4) else grey
    assert np.abs(images.read_grey(tmp_path / "x.png") - grey).max() <= 0.5


def test_png_of_few_bits_and_with_a_palette(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(png_file(9, 2, 1, 0, b"\0\xaa\x80\0\x55\0"))
    assert images.read_grey(file).tolist() == [
        [255, 0, 255, 0, 255, 0, 255, 0, 255],
        [0, 255, 0, 255, 0, 255, 0, 255, 0],
    ]
    file.write_bytes(png_file(3, 1, 4, 0, b"\0\x0f\x80"))
    assert images.read_grey(file).tolist() == [[0, 255, 136]]
    file.write_bytes(
        png_file(3, 1, 2, 3, b"\0\x18", {b"PLTE": bytes([0, 0, 0, 255, 255, 255, 80, 80, 80]), b"tRNS": b"\0"})
    )
    assert images.read_grey(file).tolist() == [[0, 255, 80]]
    file.write_bytes(png_file(2, 1, 16, 0, b"\0\x12\x34\xff\xff"))
    assert images.read_grey(file).tolist() == [[0x12, 255]]
    file.write_bytes(images.png(np.arange(12).reshape(3, 4)))
    assert images.read_grey(file).tolist() == np.arange(12).reshape(3, 4).tolist()


def test_pgm_and_ppm(tmp_path: Path) -> None:
    file = tmp_path / "x.pgm"
    for content in (b"P5\n# a comment\n2 2\n255\n\x00\x01\x02\xff", b"P2 2 2 255\n0 1\n2 255\n"):
        file.write_bytes(content)
        assert images.read_grey(file).tolist() == [[0, 1], [2, 255]]
    file.write_bytes(b"P6 1 1 255\n\xff\x00\x00")
    assert images.read_grey(file).tolist() == [[76]]  # 0.299 · 255
    file.write_bytes(b"P5 1 1 65535\n\x80\x00")
    assert images.read_grey(file).tolist() == [[128]]


WHOLE = png_file(4, 1, 8, 0, b"\0\1\2\3\4")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GIF89a", "is no PNG, PGM or PPM"),
        (b"", "is no PNG, PGM or PPM"),
        (WHOLE[:30], "is damaged"),
        (WHOLE[:-20], "is damaged"),
        (WHOLE.replace(b"\0\0\0\4\0\0\0\1\x08", b"\0\0\0\5\0\0\0\1\x08"), "checksum of the chunk IHDR"),
        (png_file(4, 2, 8, 0, b"\0\1\2\3\4"), "5 bytes of pixels, and 10 are announced"),
        (png_file(4, 1, 8, 0, b"\7\1\2\3\4"), "filter 7"),
        (png_file(1 << 20, 1 << 20, 8, 0, b""), "1048576 × 1048576 pixels"),
        (png_file(1, 1, 8, 3, b"\0\5"), "is damaged"),
        (b"P5 3 3 255\n\0", "1 values, and 9 are announced"),
        (b"P5 x", "its header"),
        (b"P2 1 1 255 300", "is not from 0 to 255"),
        (b"P2 1 1 255 nan", "is not from 0 to 255"),
        (png_file(1, 1, 3, 0, b"\0\0"), "3 bits of colour type 0"),
        (png_file(1, 1, 8, 0, b"\0\0", {b"tRNS": b"\0\0"}), "an alpha channel"),
    ],
)
def test_an_image_that_cannot_be_read(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ValueError, match=told):
        images.read_grey(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("784", "is no architecture"),
        ("784-0-10", "whole number from 1, not 0"),
        ("0-10", "number of features"),
        ("784x10", "is no architecture"),
        ("absent.toml", "there is no file"),
    ],
)
def test_an_architecture_that_is_none(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse(text)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"input": 4}, "an input and layers"),
        ({"input": [4, 4], "layers": [DENSE]}, "number of features, or"),
        ({"input": 4, "layers": []}, "list of tables"),
        ({"input": 4, "layers": [{"type": "lstm"}]}, "layer 0: the type is one of dense, .*, not 'lstm'"),
        ({"input": 4, "layers": [{"type": "dense"}]}, "layer 0: dense needs units"),
        ({"input": 4, "layers": [{"type": "dense", "size": 3}]}, "dense takes units, and not size"),
        ({"input": 4, "layers": [{"type": "relu", "slope": 3}]}, "relu has no options, and not slope"),
        ({"input": 4, "layers": [{"type": "dense", "units": 2.5}]}, "units is a whole number"),
        ({"input": 4, "layers": [{"type": "dropout", "rate": 1}]}, "rate is from 0 to below 1"),
        ({"input": 4, "layers": [{"type": "max-pool", "size": 2}]}, "layer 0: a max-pool takes images"),
        ({"input": [1, 4, 4], "layers": [DENSE]}, "layer 0: a dense layer takes vectors, and gets 1 × 4 × 4"),
        ({"input": [1, 4, 4], "layers": [{"type": "conv2d", "channels": 2, "size": 5}]}, "size 5 is larger than"),
        ({"input": [1, 4, 4], "layers": [{"type": "relu"}]}, "the last layer gives images"),
    ],
)
def test_a_table_that_is_no_architecture(table: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        from_json(table, "x.toml")


@pytest.mark.parametrize("kind", ["relu", "leaky-relu", "sigmoid", "tanh", "batch-norm"])
def test_cross_entropy_leaves_the_last_layer_what_it_needs(kind: str) -> None:
    """A network whose last layer keeps its output for the backward pass; against finite differences."""
    net = network(3, DENSE, {"type": kind}, seed=2)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(6, 3)), rng.integers(0, 4, 6)
    net.backward(losses.cross_entropy(net.forward(X, training=True), y)[1])
    found = net.gradient.copy()
    for place in range(len(net.theta)):
        values = []
        for sign in (1, -1):
            net.theta[place] += sign * 1e-6
            values.append(losses.cross_entropy(net.forward(X, training=True), y)[0])
            net.theta[place] -= sign * 1e-6
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(found[place], rel=1e-5, abs=1e-8)


def test_a_model_json_with_any_value_of_another_type_is_refused(saved: Path) -> None:
    """Each value of it, replaced by others: one sentence, or a run that can be used."""
    file = saved / "model.json"
    table = json.loads(file.read_text())

    def places(value: Any, way: tuple[Any, ...] = ()) -> Any:
        yield way
        for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            yield from places(value[key], (*way, key))

    refused = 0
    for way in list(places(table))[1:]:
        for wrong in (None, "x", -1, 5, 1e400, [], {}, [5]):
            copy = json.loads(json.dumps(table))
            inside = copy
            for key in way[:-1]:
                inside = inside[key]
            inside[way[-1]] = wrong
            file.write_text(json.dumps(copy))
            try:
                Run.load(saved).measure(data.load("digits", "test"))
            except ValueError as error:
                refused += 1
                assert len(str(error)) < 400
    assert refused > 300


def test_a_replaced_run_is_never_mixed_with_the_new_one(tmp_path: Path) -> None:
    """Killed between its weights and its model.json, a run leaves the one before as it was."""
    samples = data.load("digits", "train").take(np.arange(100))
    runs = [Run.new(parse("64-8-10"), Settings(epochs=1, seed=seed), samples, ABOUT) for seed in (0, 1)]
    for run in runs:
        run.train(samples, None)
    runs[0].save(tmp_path)
    write_tensors(tmp_path / f"{runs[1].identity}-epoch-1.safetensors", runs[1].network.parameters)
    assert (Run.load(tmp_path).network.theta == runs[0].network.theta).all()
    runs[1].save(tmp_path)
    assert (Run.load(tmp_path).network.theta == runs[1].network.theta).all()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_constant_column_stays_out(folder: Path) -> None:
    """Up to rounding: 0.1 a hundred times has a standard deviation of 1e-17."""
    X = np.stack([np.full(100, 0.1), np.arange(100.0)], 1)
    scaling = data.Scaling.of(data.Data(X, np.zeros(100, np.int64), ("a",), "x.csv"))
    assert scaling(np.array([[0.2, 49.5]]), "float64").tolist() == [[pytest.approx(0.1), pytest.approx(0.0)]]


@pytest.mark.parametrize(
    ("labels", "classes", "y"),
    [
        (["1", "1.0", "10", "2"], ("1", "2", "10"), [0, 0, 2, 1]),
        (["7000000", "7000001", "7000002", "7000000"], ("7000000", "7000001", "7000002"), [0, 1, 2, 0]),
        (["01", "1", "01", "1"], ("01", "1"), [0, 1, 0, 1]),
        (["a", "1", "1.0", "Nan"], ("1", "1.0", "Nan", "a"), [3, 0, 1, 2]),
    ],
)
def test_labels_of_a_csv_file(folder: Path, labels: list[str], classes: tuple[str, ...], y: list[int]) -> None:
    (folder / "x.csv").write_text("x,z,label\n" + "".join(f"1,{k},{label}\n" for k, label in enumerate(labels)))
    samples = data.load("x.csv", "train")
    assert sorted(samples.classes) == sorted(classes)
    assert [samples.classes[k] for k in samples.y] == [classes[k] for k in y]


def test_one_run_at_a_time_in_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tensors.locked(folder / "run"):
        assert nn("train", "64-10", "--data", "digits") == 2
    assert "run is in use: another run writes there" in capsys.readouterr().err
    assert nn("train", "64-10", "--data", "digits", "--epochs", 1) == 0


def test_what_a_killed_run_left_goes_with_the_next_checkpoint(saved: Path) -> None:
    for name in (".model.json.123.part", ".x-epoch-2.safetensors.7.part", "abcd-epoch-9.safetensors"):
        (saved / name).write_bytes(b"")
    (saved / "notes.txt").write_text("mine")
    run = Run.load(saved, "last")
    run.save(saved)
    assert {file.name for file in saved.iterdir()} == {"model.json", f"{run.identity}-epoch-1.safetensors", "notes.txt"}


def test_data_that_have_moved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.csv").write_text("".join(f"{k},{k % 7},{'xy'[k % 2]}\n" for k in range(40)))
    assert nn("train", "2-4-2", "--data", "a.csv", "--epochs", 1) == 0
    (folder / "a.csv").rename(folder / "b.csv")
    capsys.readouterr()
    assert nn("train", "--resume", "--epochs", 2) == 2
    assert nn("train", "--resume", "--epochs", 2, "--data", "b.csv") == 0
    (folder / "b.csv").write_text((folder / "b.csv").read_text().replace("0,0,x", "0,1,x"))
    assert nn("train", "--resume", "--epochs", 3) == 2
    assert "b.csv is not what it was" in capsys.readouterr().err


def test_the_toml_is_the_network_of_the_figures() -> None:
    net = Network(parse(str(CONV)))
    assert net.architecture.input == (1, 28, 28)
    assert net.theta.size == 16 * 26 + 32 * (16 * 25 + 1) + 512 * 64 + 64 + 64 * 10 + 10
    assert [row.output for row in net.summary][:2] == [(16, 24, 24), (16, 12, 12)]


def test_the_digits_that_come_along_are_those_of_the_repository() -> None:
    import gzip  # noqa: PLC0415

    own = (SOURCE / "nn_toolkit" / "digits.csv.gz").read_bytes()
    assert gzip.decompress(own) == (HERE.parents[2] / "shared" / "data" / "digits.csv").read_bytes()
    train, test = data.load("digits", "train"), data.load("digits", "test")
    assert (len(train), len(test), train.shape) == (1437, 360, (1, 8, 8))


# --- the command line ---


def nn(*arguments: Any) -> int:
    return cli.main([str(a) for a in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_walk_through_all_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert nn("train", "64-32-10", "--data", "digits", "--epochs", 8, "--learning-rate", 0.01, "--out", "run") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split()[:3] == ["epoch", "loss", "accuracy"]
    assert len(out.splitlines()) == 9
    assert nn("evaluate", "run") == 0
    out = capsys.readouterr().out
    share = float(out.partition("accuracy  ")[2].partition("%")[0])
    assert share > 90  # a linear model has 94 on other splits of these digits
    matrix = [line.split() for line in out.splitlines()[-10:]]
    counts = np.array([[0 if cell == "." else int(cell) for cell in row[1:11]] for row in matrix])
    assert counts.sum() == 360 and np.trace(counts) == round(3.6 * share)

    test = data.load("digits", "test")
    pixels = np.rint(test.X[0, 0] / 16 * 255)
    (folder / "digit.png").write_bytes(images.png(pixels))
    (folder / "light.png").write_bytes(images.png(255 - pixels))
    assert nn("predict", "run", "digit.png") == 0
    dark = capsys.readouterr().out
    assert dark.startswith(f"digit.png: {test.y[0]} (")
    assert nn("predict", "run", "light.png", "--invert") == 0
    assert capsys.readouterr().out.partition(":")[2] == dark.partition(":")[2]
    assert nn("predict", "run", "light.png") == 0
    assert "--invert" in capsys.readouterr().err
    for what in ("curves", "weights", "mistakes"):
        assert nn("plot", "run", what) == 0
        text = (folder / "run" / f"{what}.svg").read_text(encoding="utf-8")
        assert text.startswith("<svg") and text.endswith("</svg>\n") and "nan" not in text
    capsys.readouterr()
    assert nn("inspect", "run") == 0
    out = capsys.readouterr().out
    assert "2,410 parameters" in out and "units never above 0" in out


def test_a_plane_has_a_boundary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--data", "moons", "--epochs", 10, "--learning-rate", 0.02, "--batch-size", 32)
    assert nn("train", "2-16-2", *arguments) == 0
    assert nn("plot", "run", "boundary") == 0
    text = (folder / "run" / "boundary.svg").read_text(encoding="utf-8")
    assert text.count("<circle") == 1000
    capsys.readouterr()
    assert nn("plot", "run", "weights") == 2
    assert "rows of 2 numbers" in capsys.readouterr().err


def test_a_table_of_ones_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = [(x := rng.normal(), z := rng.normal(), "high" if x + z > 0 else "low", 3 * x - z) for _ in range(200)]
    (folder / "classes.csv").write_text("x,z,level\n" + "".join(f"{x},{z},{c}\n" for x, z, c, _ in rows))
    (folder / "numbers.csv").write_text("x,z,y\n" + "".join(f"{x},{z},{y}\n" for x, z, _, y in rows))
    (folder / "new.csv").write_text("x,z\n3,3\n-3,-3\n")
    more = ("--epochs", 30, "--learning-rate", 0.05, "--batch-size", 32)
    assert nn("train", "2-8-2", "--data", "classes.csv", "--out", "c", *more) == 0
    assert nn("train", "2-8-1", "--data", "numbers.csv", "--regression", "--out", "r", *more) == 0
    capsys.readouterr()
    assert nn("predict", "c", "new.csv", "--top", 1) == 0
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()] == ["high", "low"]
    assert nn("evaluate", "r") == 0
    assert float(capsys.readouterr().out.partition("R²        ")[2]) > 0.99  # the truth is linear, without noise
    assert nn("predict", "r", "new.csv") == 0
    assert [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()] == pytest.approx([6, -6], abs=1.5)
    (folder / "other.csv").write_text("x,z,level\n1,2,middle\n")
    assert nn("evaluate", "c", "--data", "other.csv") == 2
    assert "label 'middle' in row 2 is none of the network's classes, high, low" in capsys.readouterr().err


def test_a_sweep(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ("--learning-rates", "0.01,1e30", "--widths", "4,8", "--depths", "1", "--batch-sizes", "128")
    with np.errstate(all="ignore"):
        assert nn("sweep", "--data", "digits", *grid, "--optimizer", "sgd") == 0
    out = capsys.readouterr().out.splitlines()
    assert len((folder / "sweep" / "sweep.csv").read_text().splitlines()) == 5
    assert (folder / "sweep" / "sweep.svg").read_text().startswith("<svg")
    assert [line.split()[0] for line in out[1:5]] == ["0.01", "0.01", "1e+30", "1e+30"]
    assert "diverged" in out[4]
    assert nn("sweep", "--data", "digits") == 2
    assert "holds a sweep" in capsys.readouterr().err


def test_bench_compares_with_torch(capsys: pytest.CaptureFixture[str]) -> None:
    assert nn("bench", "64-16-10", "--data", "digits", "--epochs", 1, "--seconds", 0.1) == 0
    rows = {line[:22].strip(): line[22:].split() for line in capsys.readouterr().out.splitlines()[1:]}
    assert set(rows) == {"nn-toolkit", f"PyTorch {torch.__version__}", "one sample at a time"}
    accuracies = [row[-1] for row in rows.values()]
    assert accuracies[0] == accuracies[1]  # the same start and batches: not one of 360 test digits is told otherwise


def test_one_sample_at_a_time_learns() -> None:
    """The rung that the bench compares with trains a network, and does not only burn time."""
    samples = data.load("digits", "train")
    run = Run.new(parse("64-30-10"), Settings(), samples, {})
    n_samples, seconds = bench.one_at_a_time(run, samples, 0.2)
    assert n_samples >= 10 and n_samples % 10 == 0 and seconds >= 0.2


def test_killed_training_goes_on_to_the_same_end(folder: Path) -> None:
    """With kill -9 at three moments, against a run that nobody disturbed."""
    command = [sys.executable, "-m", "nn_toolkit"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OPENBLAS_NUM_THREADS": "1"}
    more = ["--data", "digits", "--epochs", "3", "--save-every", "1", "--dropout", "0.1", "--batch-size", "32"]
    whole = [*command, "train", "64-32-10", *more, "--out", "whole"]
    subprocess.run(whole, env=environment, check=True, capture_output=True)
    begun = [*command, "train", "64-32-10", *more, "--out", "killed"]
    resumed = [*command, "train", "--resume", "--save-every", "1", "--out", "killed"]
    for attempt in range(3):
        process = subprocess.Popen(
            resumed if attempt else begun, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = progress(folder / "killed")
        while process.poll() is None and progress(folder / "killed") == before:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    middle = progress(folder / "killed")
    subprocess.run(resumed, env=environment, check=True, capture_output=True)
    assert middle < progress(folder / "killed") == progress(folder / "whole")
    one, other = (Run.load(folder / name, "last") for name in ("whole", "killed"))
    assert (one.network.theta == other.network.theta).all()
    assert [e.loss for e in one.history] == [e.loss for e in other.history]


def progress(folder: Path) -> int:
    file = folder / "model.json"
    return int(json.loads(file.read_text())["progress"]["steps"]) if file.exists() else 0


def test_without_mnist_the_small_digits_serve_and_it_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TWICE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))

    def offline(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    assert nn("train", "784-16-10", "--epochs", 1) == 0
    told = capsys.readouterr().err
    assert "MNIST is not on this machine" in told and "training on the 8 × 8 digits" in told
    assert Run.load(folder / "run").network.architecture.input == (64,)
    assert nn("train", "784-16-10", "--data", "mnist", "--out", "other") == 2
    assert "use --data digits" in capsys.readouterr().err
    assert nn("evaluate", "run") == 0


def idx_folder(folder: Path, n_images: int = 20, size: int = 4, labels: bytes | None = None) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for part in ("train", "t10k"):
        pixels = rng.integers(0, 256, n_images * size * size, dtype=np.uint8).tobytes()
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, n_images, size, size) + pixels)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, n_images) + (labels or bytes(k % 3 for k in range(n_images)))
        )
    return folder


def test_a_folder_in_mnists_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    idx_folder(folder / "mine")
    assert nn("train", "16-8-3", "--data", "mine", "--epochs", 1) == 0
    assert nn("evaluate", "run") == 0
    capsys.readouterr()
    assert nn("train", "16-8-2", "--data", "mine", "--out", "two") == 2
    assert "has 3 classes, and the network 2 outputs" in capsys.readouterr().err
    file = folder / "mine" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    assert nn("train", "16-8-3", "--data", "mine", "--out", "cut") == 2
    assert "have other sizes" in capsys.readouterr().err


BAD = {
    "train": "name an architecture",
    "train 784x10": "is no architecture",
    "train 63-10 --data digits": "the samples of digits have 1 × 8 × 8 values, and the network takes 63",
    "train 64-9 --data digits": "digits has 10 classes, and the network 9 outputs",
    "train 64-10 --data nowhere": "there is no data set 'nowhere'",
    "train 64-10 --data digits --learning-rate 0": "the learning rate is above 0",
    "train 64-10 --data digits --learning-rate nan": "the learning rate is above 0",
    "train 64-10 --data digits --optimizer rmsprop": "the optimizer is sgd, momentum or adam",
    "train 64-10 --data digits --loss hinge": "the loss is one of",
    "train 64-10 --data digits --schedule step": "the schedule is one of",
    "train 64-10 --data digits --initializer ones": "the initializer is one of",
    "train 64-10 --data digits --dtype int8": "the dtype is one of",
    "train 64-10 --data digits --activation gelu": "the activation is one of",
    "train 64-10 --data digits --batch-size 0": "batch size is a whole number from 1",
    "train 64-10 --data digits --epochs x": "invalid int value",
    "train 64-10 --data digits --validation 1": "from 0 to below 1",
    "train 64-10 --data digits --patience 2 --validation 0": "early stopping needs validation samples",
    "train 64-8-10 --data digits --dropout 1": "rate is from 0 to below 1",
    "train 2-1 --data moons --loss mse": "moons has 2 classes, and the network 1 outputs",
    "train --resume --out absent": "holds no trained network",
    "evaluate absent": "holds no trained network",
    "predict done": "required: FILE",
    "predict done absent.png": "absent.png cannot be read",
    "predict done wide.png": "wide.png has 9 × 8 pixels (width × height), and the network takes 8 × 8",
    "predict done broken.png": "is damaged",
    "predict done ragged.csv": "row 2 has 1 cells, and the first has 2",
    "predict done words.csv": "'x' in row 2, column 2, is no finite number",
    "predict done pair.csv": "the samples of pair.csv have 2 values, and the network takes 64",
    "plot done pie": "invalid choice",
    "plot done boundary": "two-dimensional data",
    "evaluate done --data moons": "the samples of moons have 2 values",
    "train 64-10 --data digits --out done": "holds a trained network: choose another --out, or --resume, or --overwrite",
    "train --resume --out done --learning-rate 0.5": "was begun with learning-rate 0.002: --resume cannot change it",
    "train --resume --out done --activation tanh": "--resume takes all from done but --epochs: leave out activation",
    "train --resume --out done --batch-norm": "leave out batch-norm",
    "train --resume --out done --overwrite": "leave out overwrite",
    "train --resume --out done --seed 5": "was begun with seed 0: --resume cannot change it",
    "train --resume --out done --validation 0.5": "was begun with validation 0.0: --resume cannot change it",
    "train --resume --out done": "done was begun: begin anew",  # the fixture's samples were others
    "train 64-8-10 --data digits --dropout nan": "rate is from 0 to below 1",
    "train 64-10 --data digits --momentum 7": "the momentum is from 0 to below 1",
    "train 64-10 --data digits --regression": "a regression is for the numbers in a CSV file",
    "train rotated.toml --data digits": "the samples of digits have 1 × 8 × 8 values, and the network takes 8 × 8 × 1",
    "train 64-8-10 --data digits --batch-norm --batch-size 4 --validation 0": "leave one by itself",
    "train 64-10 --data digits --out done/model.json/x": "cannot be written: Not a directory",
    "train 2-2 --data unlabelled.csv": "row 2 has no label",
    "train 64-10 --data digits --optimizer sgd --learning-rate 1e38 --batch-size 5000 --epochs 1": "the validation loss is",
    "bench 64-10 --data digits --seconds 0": "is no number of seconds",
    "train 64-32-10 --data digits --optimizer sgd --learning-rate 1e38 --batch-size 5000 --epochs 1 --validation 0": "finite",
    "train 2-2 --data gap.csv": "'NA' in row 1, column 2, stands above numbers",
    "predict done gap.csv": "stands above numbers",
    "sweep --data digits --out done --widths 9999999999": "parameters or outputs",
    "inspect 784-99999999999-10": "would have more than",
    "sweep --data digits --learning-rates a,b": "is no list of numbers",
    "sweep --data digits --widths 0": "is no whole number from 1",
    "bench 64-10 --data digits --seconds x": "is no number of seconds",
    "inspect nothing": "is no architecture",
    "": "required: COMMAND",
    "fly": "invalid choice: 'fly'",
}


@pytest.mark.parametrize("command", BAD)
def test_bad_input_is_one_sentence_and_exit_code_2(
    folder: Path, saved: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    saved.rename(folder / "done")
    before = {file.name: file.read_bytes() for file in (folder / "done").iterdir()}
    (folder / "wide.png").write_bytes(images.png(np.zeros((8, 9))))
    (folder / "broken.png").write_bytes(WHOLE[:40])
    (folder / "ragged.csv").write_text("1,2\n3\n")
    (folder / "words.csv").write_text("1,2\n3,x\n")
    (folder / "pair.csv").write_text("1,2\n3,4\n")
    (folder / "gap.csv").write_text("1,NA,a\n3,4,a\n5,6,b\n")
    (folder / "unlabelled.csv").write_text("1,2,a\n3,4,\n")
    (folder / "rotated.toml").write_text(
        'input = [8, 8, 1]\nlayers = [{ type = "flatten" }, { type = "dense", units = 10 }]\n'
    )
    try:
        code = nn(*command.split())
    except SystemExit as stopped:  # of argparse
        code = int(stopped.code or 0)
    error = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert BAD[command] in error[-1], error
    assert error[-1].startswith("nn-toolkit: ")
    (folder / "done" / ".lock").unlink(missing_ok=True)
    assert {file.name: file.read_bytes() for file in (folder / "done").iterdir()} == before


def test_a_diverged_run_keeps_the_checkpoint_before(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--data", "digits", "--optimizer", "sgd", "--schedule", "constant", "--save-every", 1)
    with np.errstate(all="ignore"):
        assert nn("train", "64-32-10", *more, "--learning-rate", 1e30) == 2
    assert "the loss is" in capsys.readouterr().err
    Run.load(folder / "run", "last")  # it can be read


def test_help_needs_no_numpy() -> None:
    program = f"import sys; sys.path.insert(0, {str(SOURCE)!r}); from nn_toolkit.cli import main; main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0
    assert "usage: nn-toolkit" in done.stdout


def test_an_architecture_of_ones_own_is_inspected(capsys: pytest.CaptureFixture[str]) -> None:
    assert nn("inspect", str(CONV)) == 0
    out = capsys.readouterr().out
    assert "46,730 parameters" in out or "conv2d channels=16 size=5" in out
    assert isinstance(parse("2-2"), Architecture)


def test_the_lessons_page_shows_what_the_commands_print(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE.parents[2] / "outputs" / "tools" / "nn-toolkit")
    text = (HERE / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r'^```text title="nn-toolkit"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        for shown in block.split("$ nn-toolkit ")[1:]:
            command, _, expected = shown.partition("\n")
            assert nn(*command.split()) == 0
            assert readme.same_output(expected, capsys.readouterr().out), command
