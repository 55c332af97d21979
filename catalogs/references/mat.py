"""MATLAB's files of numbers, read without trusting them: sizes are bounded, and objects of any kind are refused."""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, whosmat

from catalogs.errors import BadInput
from catalogs.references.places import AGAIN, plain_file

HEADER = 128
BYTE_ORDER = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
"""Version 0x0100 and the order of its bytes; version 7.3 is an HDF5 file and has another number."""

COMPRESSED = 15
LARGEST = 32 * 1024**2
"""Bytes, packed or not. The largest array of the datasets, a mask, has 360,000."""

NUMBERS = {"uint8", "int8", "uint16", "int16", "uint32", "int32", "single", "double", "logical"}


def read_mat(path: Path, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The variable of that name, or the only one there is."""
    content = _unpacked(path)
    try:
        held = whosmat(io.BytesIO(content))
        name = held[0][0] if len(held) == 1 else name
        _check(path, name, shape, held)
        array: NDArray[Any] = loadmat(io.BytesIO(content), variable_names=[name])[name]
    except BadInput:
        raise
    except Exception as error:  # SciPy fails in many ways on what is no such file, and all mean the same
        raise _refused(path, "It is damaged.") from error
    with np.errstate(invalid="ignore"):
        numbers = array.real.astype(dtype)
    if not np.array_equal(array, numbers):
        raise _refused(path, f"Its values are {array.dtype} and do not fit {dtype}.")
    return numbers


def _check(path: Path, name: str, shape: tuple[int, ...], held: list[tuple[str, tuple[int, ...], str]]) -> None:
    if strange := sorted({kind for *_, kind in held} - NUMBERS):
        raise _refused(path, f"It holds other things than numbers ({', '.join(strange)}); it is not opened.")
    shapes = {variable: size for variable, size, _ in held}
    if name not in shapes:
        raise _refused(path, f"It has no variable {name!r}, but {', '.join(map(repr, shapes)) or 'none at all'}.")
    if shapes[name] != shape:
        found, wanted = (" x ".join(map(str, size)) for size in (shapes[name], shape))
        raise _refused(path, f"Its {name!r} is {found}, not {wanted}.")


def _unpacked(path: Path) -> bytes:
    """The file with each of its parts unpacked, so that none can grow beyond bounds later."""
    if plain_file(path).stat().st_size > LARGEST:
        raise _refused(path, "It is far too large.")
    content = path.read_bytes()
    order = BYTE_ORDER.get(content[HEADER - 4 : HEADER])
    if order is None:
        raise _refused(path, "It is not a MATLAB file of version 5 to 7 (7.3 is another format).")
    parts = [content[:HEADER], *_parts(path, content, order)]
    return b"".join(parts)


def _parts(path: Path, content: bytes, order: str) -> Iterator[bytes]:
    at, left = HEADER, LARGEST
    while at < len(content):
        kind, count = struct.unpack_from(order + "II", content.ljust(at + 8, b"\0"), at)
        part = content[at : at + 8 + count]
        if len(part) != 8 + count:
            raise _refused(path, "It is cut off.")
        part = _inflated(path, part[8:], left) if kind == COMPRESSED else part
        left -= len(part)
        at += 8 + count
        yield part


def _inflated(path: Path, packed: bytes, most: int) -> bytes:
    engine = zlib.decompressobj()
    try:
        found = engine.decompress(packed, max(1, most))
    except zlib.error as error:
        raise _refused(path, "It is damaged.") from error
    if not engine.eof:
        raise _refused(path, "It is cut off, or unpacks to far more than it should hold.")
    return found


def _refused(path: Path, why: str) -> BadInput:
    return BadInput(f"file {path}", why, AGAIN)
