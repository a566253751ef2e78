"""SpamAssassin, by the protocol of spamc (SPAMC/1.5): one connection for each message."""

import asyncio
import re
from urllib.parse import urlsplit

from veredus.formats.smtp import Envelope
from veredus.inspection.spam import Opinion, Unanswered

PORT = 783
# It asks DNS lists itself, which takes its time.
_PATIENCE_S = 15.0
# As spamc: it is slow, and spam is small.
_LARGEST = 500 * 1024
_ANSWER = 64 * 1024

_STATUS = re.compile(rb"SPAMD/[0-9.]+ ([0-9]+) ([^\r\n]*)\r\n")
_SPAM = re.compile(rb"(?i)^Spam:\s*(true|yes|false|no)\s*;\s*(-?[0-9.]+)\s*/\s*(-?[0-9.]+)\s*$", re.MULTILINE)


class SpamAssassin:
    """spam.SpamFilter. It learns of the client from the Received fields."""

    def __init__(self, url: str) -> None:
        """``url``: such as "spamd://127.0.0.1:783"."""
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or PORT

    async def ask(self, envelope: Envelope, message: bytes) -> Opinion | None:
        if len(message) > _LARGEST:
            return None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                answer = await self._exchange(message)
        except TimeoutError:
            raise Unanswered(f"no answer in {_PATIENCE_S:.0f} s") from None
        except OSError as error:
            raise Unanswered(str(error)) from error
        return _opinion(answer)

    async def _exchange(self, message: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(message))
            writer.write(message)
            await writer.drain()
            writer.write_eof()
            answer = bytearray()
            while len(answer) < _ANSWER and (data := await reader.read(_ANSWER)):
                answer += data
            return bytes(answer)
        finally:
            writer.close()

    async def close(self) -> None:
        """There is nothing that stays open."""


def _opinion(answer: bytes) -> Opinion:
    """Raises Unanswered."""
    status = _STATUS.match(answer)
    if status is None:
        raise Unanswered("its answer makes no sense")
    if int(status[1]):
        raise Unanswered(f"it answered {status[1].decode()} {status[2].decode('ascii', 'replace')}")
    head, _, body = answer.partition(b"\r\n\r\n")
    found = _SPAM.search(head.replace(b"\r", b""))
    try:
        if found is None:
            raise ValueError
        score, required = float(found[2]), float(found[3])
    except ValueError:
        raise Unanswered("its answer makes no sense") from None
    symbols = [name.strip() for name in body.decode("ascii", "replace").split(",") if name.strip()]
    is_spam = found[1].lower() in (b"true", b"yes")
    return Opinion("junk" if is_spam else "accept", score, required, symbols)
