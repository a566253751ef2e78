"""A long stream on its way to S3: on the local disk until its digest, and so its name, is known."""

import asyncio
import tempfile
import threading
from typing import IO

from blake3 import blake3

from veredus.blob.names import blob_id
from veredus.ports import Unavailable
from veredus.wire.types import BlobId


class Spool:
    """A file without a name (in ``TMPDIR``): it goes with the process, whatever ends it.

    A caller that is cancelled does not stop the thread that writes: ``close`` waits for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hash = blake3()
        self._file: IO[bytes] | None = None

    @property
    def is_empty(self) -> bool:
        return self._file is None

    async def write(self, data: bytearray) -> None:
        try:
            await asyncio.to_thread(self._write, data)
        except OSError as error:
            raise Unavailable(f"{tempfile.gettempdir()}: {error.strerror}") from error

    def _write(self, data: bytearray) -> None:
        with self._lock:
            if self._file is None:
                # Unbuffered, so that every error is one of ``write``.
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by ``close``
            self._hash.update(data)
            rest = memoryview(data)
            while rest:  # a raw write may be short: the next one says why
                rest = rest[self._file.write(rest) :]

    def rewound(self) -> tuple[BlobId, IO[bytes]]:
        """What was written, from its beginning, and its name; something must have been written."""
        assert self._file is not None
        self._file.seek(0)
        return blob_id(self._hash.digest()), self._file

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
