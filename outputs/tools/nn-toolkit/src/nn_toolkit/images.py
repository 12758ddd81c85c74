"""Image files: PNG and PGM/PPM in, as grey values; grey or RGB PNG out.

PNG as in the W3C's specification (third edition); Adam7 interlacing is the one part that is left out.
"""

import re
import struct
import zlib
from pathlib import Path

import numpy as np

from nn_toolkit.layers import Array

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# By the colour type: grey, RGB, palette, grey + alpha, RGB + alpha.
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_MOST_PIXELS = 1 << 24


class _SizeError(ValueError):
    """An image of another size than the one that is wanted."""


def read_grey(file: Path, size: tuple[int, int] | None = None) -> Array:
    """The image as height × width grey values from 0 (black) to 255 (white). What is transparent is black.

    Args:
        file: its path.
        size: the height and width that it must have, if only one will do.

    Raises:
        ValueError: there is no such file, it is no image of these formats, or one of another size.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    try:
        if content.startswith(_SIGNATURE):
            return _grey(_read_png(content, size))
        if content[:2] in (b"P2", b"P3", b"P5", b"P6"):
            return _grey(_read_pnm(content, size))
    except _SizeError as error:
        raise ValueError(f"{file} has {error}") from None
    except (ValueError, IndexError, struct.error, zlib.error) as error:
        raise ValueError(f"{file} is damaged, or of a kind that is not read here: {error}") from None
    raise ValueError(f"{file} is no PNG, PGM or PPM image")


def _grey(pixels: Array) -> Array:
    """Pixels of height × width × channels from 0 to 255 as grey values, with the weights of Rec. 601."""
    channels = pixels.shape[2]
    grey = pixels[..., 0] if channels < 3 else pixels[..., :3] @ np.array([0.299, 0.587, 0.114])
    if channels in (2, 4):
        grey = grey * pixels[..., -1] / 255
    return np.asarray(np.rint(grey), np.float64)


def _read_png(content: bytes, size: tuple[int, int] | None) -> Array:
    chunks: dict[bytes, bytes] = {}
    place = len(_SIGNATURE)
    while place < len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        body = content[place + 8 : place + 8 + length]
        (checksum,) = struct.unpack_from(">I", content, place + 8 + length)
        if zlib.crc32(kind + body) != checksum:
            raise ValueError(f"the checksum of the chunk {kind.decode('latin-1')} is wrong")
        chunks[kind] = chunks.get(kind, b"") + body
        place += 12 + length
    if b"IHDR" not in chunks or b"IDAT" not in chunks or b"IEND" not in chunks:
        raise ValueError("it has no header, no pixels or no end")
    width, height, depth, colour, *methods, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    _check_size(width, height, size)
    if interlaced:
        raise ValueError("interlaced PNG is not read here: save it without interlacing")
    if depth not in _DEPTHS.get(colour, ()) or methods != [0, 0]:
        raise ValueError(f"{depth} bits of colour type {colour}, with the methods {methods}")
    channels = _CHANNELS[colour]
    n_bytes = -(-width * channels * depth // 8)
    expected = height * (n_bytes + 1)
    data = zlib.decompressobj().decompress(chunks[b"IDAT"], expected)
    if len(data) != expected:
        raise ValueError(f"{len(data)} bytes of pixels, and {expected} are announced")
    rows = _unfiltered(np.frombuffer(data, np.uint8).reshape(height, n_bytes + 1), max(1, channels * depth // 8))
    if depth == 16:
        samples = rows[:, ::2].astype(np.float64)  # the upper byte of each
    elif depth == 8:
        samples = rows.astype(np.float64)
    else:
        bits = np.unpackbits(rows, axis=1)[:, : width * channels * depth].reshape(height, -1, depth)
        samples = (bits @ (1 << np.arange(depth - 1, -1, -1))).astype(np.float64)
        if colour != 3:
            samples *= 255 / ((1 << depth) - 1)
    pixels = samples.reshape(height, width, channels)
    if colour in (0, 2) and b"tRNS" in chunks:
        raise ValueError("a colour that stands for transparent is not read here: save it with an alpha channel")
    if colour == 3:
        palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3) if b"PLTE" in chunks else np.zeros((0, 3))
        alpha = np.full((len(palette), 1), 255.0)
        transparent = np.frombuffer(chunks.get(b"tRNS", b""), np.uint8)
        alpha[: len(transparent), 0] = transparent
        pixels = np.hstack([palette, alpha])[pixels[..., 0].astype(int)]
    return pixels


def _unfiltered(rows: Array, step: int) -> Array:
    """Undo the filter that each row names in its first byte: none, left, above, their mean, or Paeth's choice."""
    out = np.zeros((len(rows) + 1, rows.shape[1] - 1 + step), np.int64)  # with a border of zeros above and to the left
    for y, (kind, row) in enumerate(zip(rows[:, 0], rows[:, 1:].astype(np.int64), strict=True), 1):
        above, line = out[y - 1], out[y]
        if kind in (0, 2):
            line[step:] = (row + (above[step:] if kind == 2 else 0)) & 255
            continue
        if kind > 4:
            raise ValueError(f"filter {kind} does not exist")
        for x in range(len(row)):  # each byte needs the one to its left
            left, up, corner = line[x], above[x + step], above[x]
            guess = left if kind == 1 else (left + up) // 2 if kind == 3 else _paeth(left, up, corner)
            line[x + step] = (row[x] + guess) & 255
    return out[1:, step:].astype(np.uint8)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda value: abs(guess - value))  # the first of the nearest


def _read_pnm(content: bytes, size: tuple[int, int] | None) -> Array:
    """Netpbm's grey and colour maps, as text (P2, P3) or bytes (P5, P6)."""
    plain, channels = content[:2] in (b"P2", b"P3"), 1 if content[:2] in (b"P2", b"P5") else 3
    space = rb"(?:\s|#[^\n]*\n)+"
    head = re.match(rb"P\d" + space + rb"(\d+)" + space + rb"(\d+)" + space + rb"(\d+)\s", content)
    if head is None:
        raise ValueError("its header is not that of a PGM or PPM")
    width, height, largest = map(int, head.groups())
    _check_size(width, height, size)
    if not 0 < largest < 65536:
        raise ValueError(f"pixels up to {largest}")
    count = width * height * channels
    if plain:
        values = np.array(re.sub(rb"#[^\n]*", b"", content[head.end() :]).split(), np.float64)
    else:
        dtype = np.dtype(np.uint8 if largest < 256 else ">u2")
        values = np.frombuffer(content[head.end() :][: count * dtype.itemsize], dtype).astype(np.float64)
    if len(values) != count:
        raise ValueError(f"{len(values)} values, and {count} are announced")
    if not ((values >= 0) & (values <= largest)).all():
        raise ValueError(f"a value that is not from 0 to {largest}")
    return values.reshape(height, width, channels) * (255 / largest)


def _check_size(width: int, height: int, size: tuple[int, int] | None) -> None:
    """Before the pixels are read: a wrong size needs no patience, and a huge one no memory."""
    if size is not None and (height, width) != size:
        wanted = f"{size[1]} × {size[0]}"
        raise _SizeError(f"{width} × {height} pixels (width × height), and the network takes {wanted}")
    if not 0 < width * height <= _MOST_PIXELS:
        raise ValueError(f"{width} × {height} pixels")


def png(pixels: Array) -> bytes:
    """A PNG of height × width grey values, or of height × width × 3, each a byte."""
    height, width = pixels.shape[:2]
    colour = 0 if pixels.ndim == 2 else 2
    rows = np.hstack([np.zeros((height, 1), np.uint8), np.rint(pixels).astype(np.uint8).reshape(height, -1)])
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = [(b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in body
    ]
    return _SIGNATURE + b"".join(chunks)
