"""Replies of SMTP as a client reads them (RFC 5321 §4.2), and those that nobody sent."""

import re
from typing import Final

from msgspec import Struct

# §4.5.3.1.5 allows 512 octets for a line; hosts with long texts exist, endless ones are cut off.
LONGEST_LINE: Final = 4096
MOST_LINES: Final = 200
_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]+")
_FOLDED = 2000
# What was answered, and how.
NO_ANSWER: Final = "451 4.5.0 The host answered {} with {}"


class Reply(Struct, frozen=True):
    """One reply: its code, and the text of each line without it."""

    code: int
    texts: tuple[str, ...]

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 300

    @property
    def is_closing(self) -> bool:
        """421 may answer any command, and ends the session (§3.8)."""
        return self.code == 421

    def folded(self) -> str:
        """One line, as RFC 8621 §7 (smtpReply) makes it of many.

        What a line has in common with the first is left out only in whole words: the RFC's wording would take
        the "O" off "Other" after "Our".
        """
        first, *rest = [_CONTROL.sub(" ", f"{self.code} {text}").strip() for text in self.texts]
        lines = [first, *(line[_common(first, line) :] for line in rest)]
        return " ".join(line for line in lines if line)[:_FOLDED]


def _common(first: str, line: str) -> int:
    """Octets of ``line`` that are whole words of the start of ``first``."""
    length = 0
    for one, other in zip(first.split(" "), line.split(" "), strict=False):
        if one != other:
            break
        length += len(one) + 1
    return length


def parse_line(line: bytes) -> tuple[int, str, bool] | None:
    """Code, text, and whether this is the last line of its reply. None: this is no SMTP."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    return int(found[1]), (found[3] or b"").decode("utf-8", "replace"), found[2] != b"-"


class HostTrouble(Exception):
    """A host cannot be used, now or in the middle; ``reply`` has the form of a reply.

    ``host``: who said so, "" when it is our own word. ``is_final``: it takes no mail at all (521, RFC 7504).
    """

    def __init__(self, reply: str, host: str = "", *, is_final: bool = False) -> None:
        super().__init__(reply)
        self.reply = reply
        self.host = host
        self.is_final = is_final

    @classmethod
    def said(cls, reply: Reply, host: str) -> "HostTrouble":
        """A reply that is no refusal means nothing where one is asked for."""
        if reply.code < 400:
            return cls(NO_ANSWER.format("us", reply.folded()), host)
        return cls(reply.folded(), host, is_final=reply.code == 521)
