"""Messages in files of their own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from veredus.cli.transfer.incoming import MAX_MESSAGE, Found, Incoming, Unreadable, with_crlf

SUFFIX = ".eml"


def read(path: Path, mailbox: tuple[str, ...]) -> Iterator[Found]:
    """A file, or every ``.eml`` file below a directory. Raises OSError for ``path`` itself."""
    if not path.is_dir():
        yield read_file(path, mailbox)
        return
    for file in files(path):
        yield read_file(file, mailbox)


def files(directory: Path) -> Iterator[Path]:
    """In the order of their names."""
    return (path for path in sorted(directory.rglob("*")) if path.suffix.lower() == SUFFIX and path.is_file())


def size(path: Path) -> int:
    """Octets of all messages."""
    return sum(file.stat().st_size for file in (files(path) if path.is_dir() else [path]))


def read_file(path: Path, mailbox: tuple[str, ...]) -> Found:
    try:
        stat = path.stat()
        if stat.st_size > MAX_MESSAGE:
            return Unreadable(str(path), f"larger than {MAX_MESSAGE // 2**20} MiB", stat.st_size)
        data = path.read_bytes()
    except OSError as error:
        return Unreadable(str(path), error.strerror or str(error))
    received = datetime.fromtimestamp(stat.st_mtime, UTC)
    return Incoming(with_crlf(data), str(path), mailbox, received=received, octets=len(data))
