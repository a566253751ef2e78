"""Rspamd, by its HTTP protocol: POST /checkv2 with the message; the envelope goes in header fields."""

import json
import math
import re
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from veredus.formats.smtp import Envelope
from veredus.inspection.spam import Opinion, Unanswered, Verdict

PORT = 11333
# Rspamd itself gives up on a message after 8 s.
_PATIENCE_S = 10.0

# "greylist" only says that a message would be a case for it. Where Rspamd's own module is in use, it asks for
# "soft reject" and knows when to stop; where it is not, who waited on "greylist" would wait for ever. What
# Rspamd would "discard" is kept, as Junk: mail is not lost here.
_VERDICTS: dict[str, Verdict] = {
    "reject": "reject",
    "soft reject": "defer",
    "add header": "junk",
    "rewrite subject": "junk",
    "quarantine": "junk",
    "discard": "junk",
}


class Rspamd:
    """spam.SpamFilter."""

    def __init__(self, url: str, hostname: str) -> None:
        """``url``: such as "rspamd://127.0.0.1:11333"; a password in it is sent along."""
        parts = urlsplit(url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        self._url = f"http://{host}:{parts.port or PORT}/checkv2"
        self._always = {"MTA-Name": hostname}
        if parts.password:
            self._always["Password"] = parts.password
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, envelope: Envelope, message: bytes) -> Opinion:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_PATIENCE_S))
        try:
            async with self._session.post(self._url, data=message, headers=self._fields(envelope)) as answer:
                if answer.status != 200:
                    raise Unanswered(f"it answered {answer.status}")
                return _opinion(json.loads(await answer.read()))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(str(error) or type(error).__name__) from error
        except (ValueError, TypeError, KeyError) as error:
            raise Unanswered(f"its answer makes no sense ({type(error).__name__})") from error

    def _fields(self, envelope: Envelope) -> list[tuple[str, str]]:
        found = [("From", envelope.sender), *(("Rcpt", recipient) for recipient in envelope.recipients)]
        if "LMTP" not in envelope.protocol:  # else it is our own MTA's, which Rspamd would trust
            found += [("Helo", envelope.helo), ("IP", envelope.client)]
        clean = [(name, re.sub(r"[\x00-\x1f\x7f]", "?", value)) for name, value in found if value]
        return [*self._always.items(), ("Content-Type", "application/octet-stream"), *clean]

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _opinion(answer: dict[str, Any]) -> Opinion:
    """Raises ValueError, TypeError or KeyError."""
    score, required = float(answer["score"]), float(answer["required_score"])
    if not (math.isfinite(score) and math.isfinite(required)):
        raise ValueError("not a score")
    symbols = answer.get("symbols") or {}
    return Opinion(_VERDICTS.get(str(answer["action"]), "accept"), score, required, [*map(str, symbols)])
