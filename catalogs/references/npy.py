"""NumPy's array files, read without trusting them: the header is checked first, and nothing is ever unpickled."""

import io
import warnings
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from catalogs.errors import BadInput
from catalogs.references.places import AGAIN, plain_file

HEADER_BYTES = 64 * 1024
"""More is not read before the header is understood. Those of the datasets have 128 bytes."""

PARSERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}

Shape = tuple[int | None, ...]
"""What is asked for; None is any length but 0."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    start: int
    """Byte at which the values begin."""


def open_npy(path: Path, dtype: str, shape: Shape) -> NDArray[Any]:
    """The array, still on disk and read-only; `BadInput` unless it is of that kind, of that shape and complete."""
    check_npy(path, dtype, shape)
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def check_npy(path: Path, dtype: str, shape: Shape) -> Header:
    """Without reading the values."""
    header = read_header(path)
    if header.dtype.hasobject:
        raise _not_as_published(path, "It holds pickled objects, which could run any program; it is not opened.")
    if header.dtype.newbyteorder("=") != np.dtype(dtype):
        raise _not_as_published(path, f"Its values are {header.dtype}, not {dtype}.")
    if not _fits(header.shape, shape):
        raise _not_as_published(path, f"Its shape is {_by(header.shape)}, not {_by(shape)}.")
    promised = header.start + header.dtype.itemsize * prod(header.shape)
    if (size := path.stat().st_size) != promised:
        raise _not_as_published(path, f"It has {size} bytes where its header promises {promised}.")
    return header


def read_header(path: Path) -> Header:
    with plain_file(path).open("rb") as file:
        start = io.BytesIO(file.read(HEADER_BYTES))
    try:
        version = npy.read_magic(start)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers that Python 2 wrote
            shape, _, dtype = PARSERS[version](start)
    except (ValueError, KeyError, TypeError, RecursionError, MemoryError) as error:
        raise _not_as_published(path, "It is not an array of NumPy, or its header is damaged.") from error
    return Header(shape, dtype, start.tell())


def _fits(found: tuple[int, ...], asked: Shape) -> bool:
    pairs = zip(found, asked, strict=False)
    return len(found) == len(asked) and all(length > 0 and wanted in (None, length) for length, wanted in pairs)


def _by(shape: Shape) -> str:
    return " x ".join("any" if length is None else str(length) for length in shape) or "a single value"


def _not_as_published(path: Path, why: str) -> BadInput:
    return BadInput(f"file {path}", why, AGAIN)
