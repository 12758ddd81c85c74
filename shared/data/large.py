"""The large data sets, which are downloaded: see README.md beside this file for sources, licences and checksums."""

import struct
from dataclasses import dataclass, field

from shared.data import embedded
from shared.data.download import Remote, fetch
from shared.data.embedded import unknown


@dataclass(frozen=True)
class Images:
    """Grey images and their classes, as bytes.

    ``images.image(i)`` is one image; ``numpy.frombuffer(images.pixels, numpy.uint8)`` makes an array of all.
    """

    pixels: bytes = field(repr=False)  # n_images × height × width, row by row, from 0 (background) to 255
    labels: bytes = field(repr=False)  # n_images indices into classes
    height: int
    width: int
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> bytes:
        """The height × width pixels of image `i`, row by row."""
        size = self.height * self.width
        start = range(len(self))[i] * size
        return self.pixels[start : start + size]


@dataclass(frozen=True)
class ImageSet:
    """Where the four files of an image set are, and the sha256 of the decompressed content of each."""

    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    sha256: dict[str, str]


IMAGES = {
    "mnist": ImageSet(
        ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        tuple("0123456789"),
        {
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion-mnist": ImageSet(
        (
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        (
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        {
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ),
}
TEXTS = {
    "tinyshakespeare": Remote(
        "tinyshakespeare.txt",
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
        ),
        'load_text("shakespeare")',
    ),
}
SPLITS = {"train": "train", "test": "t10k"}


def load_images(name: str, split: str = "train") -> Images:
    """The image set `name`, one of `IMAGES`: its ``"train"`` images (60,000) or its ``"test"`` images (10,000).

    Raises:
        ValueError: there is no such set or split.
        WrongFileError: TWICE_DATA holds a wrong file.
        DataUnavailableError: it is not on this machine and no mirror gave it.
    """
    if name not in IMAGES:
        raise unknown("image set", name, IMAGES)
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    pixels = fetch(_remote(name, f"{SPLITS[split]}-images-idx3-ubyte"))
    labels = fetch(_remote(name, f"{SPLITS[split]}-labels-idx1-ubyte"))
    # The IDX format: a magic number, the size of each dimension (4 bytes each, big-endian), then the bytes.
    height, width = struct.unpack_from(">II", pixels, 8)
    return Images(pixels[16:], labels[8:], height, width, IMAGES[name].classes)


def load_text(name: str) -> str:
    """The text `name`, embedded or one of `TEXTS`. Raises as `load_images` does."""
    if name in TEXTS:
        return fetch(TEXTS[name]).decode("utf-8")
    if name in embedded.TEXTS:
        return embedded.read(name).decode("utf-8")
    raise unknown("text", name, [*embedded.TEXTS, *TEXTS])


def _remote(name: str, file: str) -> Remote:
    known = IMAGES[name]
    urls = tuple(f"{mirror}{file}.gz" for mirror in known.mirrors)
    return Remote(f"{name}/{file}.gz", known.sha256[file], urls, 'load("digits")')
