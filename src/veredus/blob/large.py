"""Large blobs as files ``ab/Bab...``: written under another name, fsynced, renamed. All of it blocks."""

import errno
import fcntl
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from veredus.blob.names import blob_id, is_blob_id
from veredus.ports import Blob
from veredus.wire.types import BlobId

_TEMPORARY = "tmp"


class LargeBlobs:
    """Files of one directory, which several processes may use."""

    def __init__(self, directory: Path, *, now: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._now = now
        # Between looking at a file's time and removing it, no put may renew it.
        self._lock = threading.Lock()
        # Folders whose own entry will survive a power failure.
        self._durable: set[Path] = set()
        make_directory(directory / _TEMPORARY)
        self._remove_strays()

    def spool(self) -> "Spool":
        """A place for the bytes of one put; makes no file yet."""
        return Spool(self._directory / _TEMPORARY, self._publish)

    def store(self, data: bytes) -> Blob:
        spool = self.spool()
        try:
            spool.write(data)
            return spool.finish()
        except BaseException:
            spool.discard()
            raise

    def open(self, id: BlobId) -> BinaryIO | None:
        try:
            return self._path(id).open("rb")
        except FileNotFoundError:
            return None

    def size(self, id: BlobId) -> int | None:
        try:
            return self._path(id).stat().st_size
        except FileNotFoundError:
            return None

    def folders(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self._directory) if len(entry.name) == 2)

    def ids(self, folder: str) -> list[tuple[BlobId, int]]:
        """The blobs of one folder, and the microseconds of their last put."""
        found = []
        for entry in os.scandir(self._directory / folder):
            with suppress(FileNotFoundError):
                if is_blob_id(entry.name):
                    found.append((entry.name, entry.stat().st_mtime_ns // 1000))
        return found

    def delete(self, ids: list[BlobId], before: int) -> None:
        """Not fsynced: a file that a power failure brings back is found again by the garbage collector."""
        for id in ids:
            path = self._path(id)
            with suppress(FileNotFoundError), self._lock:
                if path.stat().st_mtime_ns // 1000 < before:
                    path.unlink()

    def backup(self, target: Path) -> None:
        for folder in self.folders():
            make_directory(target / folder)
            for id, _ in self.ids(folder):
                with suppress(FileNotFoundError):
                    _link_or_copy(self._path(id), target / folder / id)
            fsync_directory(target / folder)

    def _path(self, id: BlobId) -> Path:
        return self._directory / id[1:3] / id

    def _publish(self, file: FileIO, id: BlobId) -> None:
        """Give the written temporary file its name. Replaces a file of the same bytes: that dates it anew."""
        put_at = int(self._now() * 1_000_000) * 1000
        os.utime(file.fileno(), ns=(put_at, put_at))
        os.fsync(file.fileno())
        path = self._path(id)
        if path.parent not in self._durable:
            # One that is there may be another thread's, which has not fsynced it yet.
            path.parent.mkdir(mode=0o700, exist_ok=True)
            fsync_directory(self._directory)
            self._durable.add(path.parent)
        with self._lock:
            Path(file.name).replace(path)
        fsync_directory(path.parent)

    def _remove_strays(self) -> None:
        """What a crash left. The files of a process that is alive are locked."""
        for path in (self._directory / _TEMPORARY).iterdir():
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


class Spool:
    """The bytes of one put on their way into a file.

    Its steps run in threads, and a caller that is cancelled does not stop the thread: hence the lock,
    by which ``discard`` waits for the step that is under way.
    """

    def __init__(self, directory: Path, publish: Callable[[FileIO, BlobId], None]) -> None:
        self._directory = directory
        self._publish = publish
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._hash = blake3()
        self._size = 0

    def write(self, data: bytes | bytearray) -> None:
        with self._lock:
            if self._file is None:
                self._file = _temporary_file(self._directory)
            self._hash.update(data)
            rest = memoryview(data)
            while rest:  # a raw write may be short: the next one says why
                rest = rest[self._file.write(rest) :]
            self._size += len(data)

    def finish(self) -> Blob:
        """Make it durable under its name; something must have been written."""
        with self._lock:
            assert self._file is not None
            id = blob_id(self._hash.digest())
            self._publish(self._file, id)
            self._file.close()
            self._file = None
            return Blob(id, self._size)

    def discard(self) -> None:
        with self._lock:
            if self._file is not None:
                Path(self._file.name).unlink(missing_ok=True)
                self._file.close()
                self._file = None


def _temporary_file(directory: Path) -> FileIO:
    while True:
        # Unbuffered, so that every error is one of ``write``.
        file = (directory / secrets.token_hex(8)).open("xb", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # a process that was starting took it for a stray before it was locked


def make_directory(path: Path) -> None:
    """Durable, and readable by nobody else: it is people's mail."""
    if not path.is_dir():
        make_directory(path.parent)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        fsync_directory(path.parent)


def fsync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _link_or_copy(source: Path, target: Path) -> None:
    with suppress(FileExistsError):
        try:
            target.hardlink_to(source)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
            # Renamed when whole: a copy that was cut short must not be taken for the blob by the next backup.
            part = target.with_suffix(".part")
            shutil.copy2(source, part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(target)
