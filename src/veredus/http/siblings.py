"""The metrics of all processes that serve the same addresses, from whichever of them is asked.

Each worker answers for itself on a socket in a directory that they share; each sample gets the label
``worker``. One that does not answer in time is left out: it has ended, or hangs.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path

_PATIENCE_S = 2.0
_REQUEST = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


class Siblings:
    """The workers of one configuration, as worker ``own`` sees them."""

    def __init__(self, own: int, directory: Path) -> None:
        self._own, self._directory = own, directory

    @property
    def address(self) -> str:
        """Where this worker answers for itself."""
        return f"unix:{self._directory / f'{self._own}.sock'}"

    async def metrics(self, own: bytes) -> bytes:
        """Those of all; ``own``: of this worker, in Prometheus' text format."""
        others = [path for path in self._directory.glob("*.sock") if path.stem != str(self._own)]
        answers = await asyncio.gather(*map(_asked, others))
        texts = {int(path.stem): text for path, text in zip(others, answers, strict=True) if text is not None}
        return merged(dict(sorted({**texts, self._own: own}.items())))


async def _asked(path: Path) -> bytes | None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(_REQUEST)
                answer = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    return body if head.startswith(b"HTTP/1.1 200 ") else None


def merged(texts: Mapping[int, bytes]) -> bytes:
    """One text of many, each family once with the samples of all workers.

    Every family must begin with its HELP line, as prometheus-client writes it.
    """
    families: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
    for worker, text in texts.items():
        label = b'worker="%d"' % worker
        heads: list[bytes] = []
        samples: list[bytes] = []
        for line in text.splitlines():
            if line.startswith(b"# HELP "):
                heads, samples = families.setdefault(line.split(b" ", 3)[2], ([], []))
            if not line.startswith(b"#"):
                samples.append(_labelled(line, label))
            elif line not in heads:
                heads.append(line)
    return b"".join(line + b"\n" for heads, samples in families.values() for line in (*heads, *samples))


def _labelled(sample: bytes, label: bytes) -> bytes:
    """``name{a="b"} 1`` and ``name 1`` with one label more."""
    name, brace, rest = sample.partition(b"{")
    if brace and b" " not in name:
        return b"%b{%b,%b" % (name, label, rest)
    name, _, rest = sample.partition(b" ")
    return b"%b{%b} %b" % (name, label, rest)
