"""What a spam filter says of a message, in our words; Rspamd and SpamAssassin are asked in theirs."""

import re
from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from veredus.formats.smtp import Envelope

Verdict = Literal["accept", "junk", "reject", "defer"]

_SYMBOLS = 50
_LINE = 76


class Unanswered(Exception):
    """The filter is not there, too slow, or speaks in riddles."""


class Opinion(Struct, frozen=True):
    """``required``: the score from which the filter calls it spam. ``symbols``: the rules that applied."""

    verdict: Verdict
    score: float
    required: float
    symbols: Sequence[str] = ()

    def fields(self) -> bytes:
        """For people and their Sieve scripts, in the form that SpamAssassin gave it."""
        is_spam = self.verdict in ("junk", "reject")
        status = f"{'Yes' if is_spam else 'No'}, score={self.score:.1f} required={self.required:.1f}"
        lines = [f"X-Spam-Status: {status}", "\ttests="]
        names = [re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60] for name in self.symbols[:_SYMBOLS]]
        for name in [f"{name}," for name in names[:-1]] + names[-1:]:
            if len(lines[-1]) + len(name) > _LINE:
                lines.append("\t")
            lines[-1] += name
        text = "\r\n".join(lines if names else lines[:1]) + "\r\n"
        return (("X-Spam-Flag: YES\r\n" if is_spam else "") + text).encode()


class SpamFilter(Protocol):
    async def ask(self, envelope: Envelope, message: bytes) -> Opinion | None:
        """None: it has no opinion of such messages. Raises Unanswered."""
        ...

    async def close(self) -> None: ...
