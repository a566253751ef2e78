"""Dumps as files, one for each account: ``accounts/ID.dump`` in the directory of a backup.

A file is a mark, then pieces in MessagePack, each compressed (zlib, which notices what is damaged) behind its
length in four octets, then a length of 0.
"""

import asyncio
import os
import zlib
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

import msgspec

from veredus.ports import Unavailable
from veredus.ports.moving import Piece, Pieces, Rows
from veredus.wire.types import Id

_MARK = b"veredus dump 1\n"
_DIRECTORY = "accounts"
_SUFFIX = ".dump"
# A third of the size for an eighth of the time that PostgreSQL takes.
_LEVEL = 1
_MOST_OCTETS = 2**30

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Piece).decode


async def write(directory: str, account: Id, pieces: Pieces) -> None:
    """Written beside it first, so that the file is whole or not there."""
    top = Path(directory) / _DIRECTORY
    top.mkdir(mode=0o700, exist_ok=True)
    partial = top / f"{account}.partial"
    with partial.open("wb") as file:
        file.write(_MARK)
        async with aclosing(pieces):
            async for piece in pieces:
                await asyncio.to_thread(_write, file, piece)
        file.write(bytes(4))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(top / f"{account}{_SUFFIX}")


def _write(file: BinaryIO, piece: Piece) -> None:
    packed = zlib.compress(_encode(piece), _LEVEL)
    file.write(len(packed).to_bytes(4, "big"))
    file.write(packed)


class DumpFiles:
    """The accounts of a backup, to be loaded into a store."""

    def __init__(self, directory: Path) -> None:
        self._top = directory / _DIRECTORY

    @staticmethod
    def are_in(directory: Path) -> bool:
        """Whether the directory has such files."""
        return (directory / _DIRECTORY).is_dir()

    async def accounts(self) -> list[Id]:
        return sorted(path.name.removesuffix(_SUFFIX) for path in self._top.glob("*" + _SUFFIX))

    async def changed_since(self, account: Id, stamp: str) -> None:
        """Nothing ever changes."""

    async def dump(self, account: Id, after: str | None = None) -> Pieces:
        """Raises Unavailable when the file is damaged."""
        path = self._top / f"{account}{_SUFFIX}"
        with path.open("rb") as file:
            pieces = _read(file, path)
            skips = after is not None
            is_first = True
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                if is_first or not skips:
                    is_first = False
                    yield piece
                elif isinstance(piece, Rows):
                    skips = piece.place != after


def _read(file: BinaryIO, path: Path) -> Iterator[Piece]:
    if file.read(len(_MARK)) != _MARK:
        raise Unavailable(f"{path} is no dump of this version of Veredus")
    while True:
        length = int.from_bytes(_exactly(file, 4, path), "big")
        if length == 0:
            return
        try:
            yield _decode(zlib.decompress(_exactly(file, min(length, _MOST_OCTETS), path)))
        except (zlib.error, msgspec.DecodeError) as error:
            raise Unavailable(f"{path} is damaged: {error}") from error


def _exactly(file: BinaryIO, size: int, path: Path) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise Unavailable(f"{path} is damaged: it ends in the middle")
    return data
