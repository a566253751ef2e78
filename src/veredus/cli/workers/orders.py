"""What the parent tells a worker, over the socket between them: first `Orders`, later single words."""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from veredus.config.settings import Config

# From the worker: it serves.
READY = b"ready\n"
# From the parent: end as at SIGTERM; or end without haste, because others serve on the same sockets.
STOP = b"stop\n"
RETIRE = b"retire\n"


class Orders(Struct, frozen=True):
    """``sockets``: file descriptors by section of the configuration. ``directory``: that of all workers which
    belong together, for sockets between them."""

    worker: int
    config: Config
    sockets: dict[str, list[int]]
    directory: Path

    def encode(self) -> bytes:
        return msgspec.json.encode(self, enc_hook=str) + b"\n"


def decode(line: bytes) -> Orders:
    return msgspec.json.decode(line, type=Orders, dec_hook=_path)


def _path(type: type, value: Any) -> Path:
    assert type is Path
    return Path(value)
