"""The directory of a parent and its workers: their sockets, and the configuration of a nats-server."""

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "veredus-workers-"
# A directory is not locked in the very moment it is made.
_NEW_S = 60


@contextmanager
def private_directory() -> Iterator[Path]:
    """A new one, which is removed at the end; those of parents that were killed are removed now.

    It is locked meanwhile, which also tells systemd-tmpfiles to leave it alone, however old it gets.
    """
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=_PREFIX))
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _sweep() -> None:
    """Remove what nobody has locked."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # still in use, gone meanwhile, or another user's
            if _is_ours(path.lstat()):
                _remove_unlocked(path)


def _is_ours(found: os.stat_result) -> bool:
    """Whether it is a directory of this user, and not one that is just being made."""
    is_old = time.time() - found.st_mtime > _NEW_S
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and is_old


def _remove_unlocked(path: Path) -> None:
    """Raises BlockingIOError: it is locked."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
