"""Blobs into files: under names that a stranger chose, and over nothing that is there."""

import asyncio
import errno
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import BinaryIO

from veredus.client.blobs import Download

# Of 255 octets that file systems allow; the rest is for " (2)".
_MOST_OCTETS = 200
_UNSAFE = frozenset('/\\:*?"<>|\0')
_MOST_NAMES = 10_000


def safe_name(name: str | None) -> str:
    """``name`` as the name of a file in one directory: no path, no hidden file, nothing unprintable."""
    text = "".join("_" if c in _UNSAFE or not c.isprintable() else c for c in name or "").strip(" .")
    stem, suffix = os.path.splitext(text)
    suffix = suffix if len(suffix.encode()) <= 20 else ""
    room = _MOST_OCTETS - len(suffix.encode())
    stem = (stem if suffix else text).encode()[:room].decode(errors="ignore")
    return f"{stem}{suffix}" if stem else "unnamed"


async def save(blob: AbstractAsyncContextManager[Download], to: Path, name: str | None) -> Path:
    """Where ``blob`` is now. ``to``: a directory, for a new name made of ``name``; or the file.

    Raises FileExistsError; what fails half way leaves no file.
    """
    path, file = await asyncio.to_thread(_create, to, name)
    try:
        with file:
            async with blob as download:
                async for chunk in download:
                    await asyncio.to_thread(file.write, chunk)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say of which file
        raise
    return path


def _create(to: Path, name: str | None) -> tuple[Path, BinaryIO]:
    if not to.is_dir():
        return to, to.open("xb")
    stem, suffix = os.path.splitext(safe_name(name))
    for number in range(1, _MOST_NAMES):
        path = to / (f"{stem} ({number}){suffix}" if number > 1 else f"{stem}{suffix}")
        try:
            return path, path.open("xb")
        except FileExistsError:
            continue
    raise FileExistsError(errno.EEXIST, "there are too many files of this name", str(to))
