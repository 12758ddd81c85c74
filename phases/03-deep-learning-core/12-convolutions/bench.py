"""One convolution in many ways: milliseconds (medians of rounds in which all take turns), one thread, float64.

Two ways of build_it beside use_it on 2 × 3 × 16 × 16 numbers. Then 8 images of 8 × 32 × 32 with 16 kernels of
8 × 3 × 3, where every way does the same multiplications, and what im2col copies, in bytes.
"""

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from phases.deep_learning_core.convolutions import build_it, use_it

ROUNDS = 7


def medians(ways: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Milliseconds of each, after one call that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, call in ways.items():
            began = time.perf_counter()
            call()
            if number:
                times[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in times.items()}


def report(title: str, found: dict[str, float]) -> None:
    """One line for each way."""
    print(title)
    fastest = min(found.values())
    for name, milliseconds in found.items():
        print(f"  {name:52} {milliseconds:10.3f} ms {milliseconds / fastest:8.1f}")


def plain_python() -> None:
    """Lists in, lists out."""
    rng = Random(0)
    x = [[[[rng.gauss(0, 1) for _ in range(16)] for _ in range(16)] for _ in range(3)] for _ in range(2)]
    weight = [[[[rng.gauss(0, 1) for _ in range(3)] for _ in range(3)] for _ in range(3)] for _ in range(8)]
    g = build_it.conv2d_im2col(x, weight, padding=1)
    report(
        "2 × 3 × 16 × 16, 8 kernels of 3 × 3 × 3, lists",
        medians(
            {
                "build_it.conv2d": lambda: build_it.conv2d(x, weight, padding=1),
                "build_it.conv2d_im2col": lambda: build_it.conv2d_im2col(x, weight, padding=1),
                "use_it.conv2d": lambda: use_it.conv2d(x, weight, padding=1),
                "build_it.conv2d_backward": lambda: build_it.conv2d_backward(x, weight, g, padding=1),
                "build_it.conv2d_im2col_backward": lambda: build_it.conv2d_im2col_backward(x, weight, g, padding=1),
                "use_it.conv2d_backward": lambda: use_it.conv2d_backward(x, weight, g, padding=1),
            }
        ),
    )


def arrays() -> None:
    """The same products, with NumPy and torch."""
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((8, 8, 34, 34)), rng.standard_normal((16, 8, 3, 3))  # padded already
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))  # a view: n, c, i, j, a, b

    def im2col() -> np.ndarray:
        return np.ascontiguousarray(windows.transpose(1, 4, 5, 0, 2, 3)).reshape(8 * 9, -1)

    def loops() -> np.ndarray:
        y = np.empty((8, 16, 32, 32))
        for n, o, i, j in np.ndindex(y.shape):
            y[n, o, i, j] = (x[n, :, i : i + 3, j : j + 3] * weight[o]).sum()
        return y

    kernels, columns = weight.reshape(16, -1), im2col()
    tensors = torch.from_numpy(x), torch.from_numpy(weight)
    expected = functional.conv2d(*tensors).numpy()
    assert np.allclose(loops(), expected)
    assert np.allclose((kernels @ columns).reshape(16, 8, 32, 32).swapaxes(0, 1), expected)
    ways = {
        "NumPy, a loop over outputs": loops,
        "einsum on the windows (no copy, no BLAS)": lambda: np.einsum("ncijab,ocab->noij", windows, weight),
        "einsum on copied columns (no BLAS)": lambda: np.einsum("ok,kp->op", kernels, im2col()),
        "im2col and matrix product (BLAS)": lambda: kernels @ im2col(),
        "  of which im2col, the copy": im2col,
        "  of which the matrix product": lambda: kernels @ columns,
        "torch, conv2d": lambda: functional.conv2d(*tensors),
    }
    report("8 × 8 × 32 × 32, 16 kernels of 8 × 3 × 3, arrays", medians(ways))
    print(f"  images {x.nbytes} bytes (padded), columns {columns.nbytes} bytes: {columns.nbytes / x.nbytes:.1f} times")


if __name__ == "__main__":
    torch.set_num_threads(1)
    plain_python()
    arrays()
