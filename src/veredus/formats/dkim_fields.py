"""Header fields in DKIM (RFC 6376): which are signed, in what order, and how they are canonicalized."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

# Signed once more often than they occur, so that nobody can add one (§8.15). Of these a message has one at
# most (RFC 5322 §3.6), and another would change what the reader sees as author, addressees, subject or text.
_OVERSIGNED = (
    "from reply-to to cc subject date message-id in-reply-to references "
    "mime-version content-type content-transfer-encoding"
).split()
# Signed as often as they occur (§5.4.1; RFC 8058 §4 wants the last two of a list's). Not closed: resenders
# and mailing lists, which may leave the message as it is, add them.
_SIGNED = (
    "sender resent-from resent-sender resent-to resent-cc resent-date resent-message-id content-id "
    "content-description content-disposition content-language disposition-notification-to auto-submitted "
    "autocrypt importance list-id list-help list-subscribe list-post list-owner list-archive "
    "list-unsubscribe list-unsubscribe-post"
).split()
# Never signed: what changes on the way (Received, Return-Path, Authentication-Results, X-Spam-...), and what
# the receiver does not show.

_LINE = 72
_SPACE = re.compile(rb"[ \t]+")


def split(message: bytes) -> tuple[list[bytes], bytes]:
    """The fields of a message, each with its folded lines and without its last CRLF; and the body."""
    if message.startswith(b"\r\n"):  # no field at all
        return [], message[2:]
    head, _, body = message.partition(b"\r\n\r\n")
    fields: list[list[bytes]] = []
    for line in head.removesuffix(b"\r\n").split(b"\r\n"):
        if fields and line.startswith((b" ", b"\t")):
            fields[-1].append(line)
        else:
            fields.append([line])
    return [b"\r\n".join(lines) for lines in fields], body


def field_of(text: bytes) -> tuple[str, bytes]:
    """Name in lower case and value of a field with its folded lines; what is no field has the name ""."""
    name, colon, value = text.partition(b":")
    return (name.rstrip(b" \t").decode("latin-1").lower(), value) if colon else ("", text)


def signed_names(names: Iterable[str]) -> list[str]:
    """The h= tag for a message with these fields (§5.4.2). ``from`` is always in it (§5.4)."""
    present = Counter(names)
    return [
        *(name for name in _OVERSIGNED for _ in range(present[name] + 1)),
        *(name for name in _SIGNED for _ in range(present[name])),
    ]


def selected(fields: Sequence[tuple[str, bytes]], names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The fields in the order of h=; of repeated ones the last comes first (§5.4.2).

    A name that is listed more often than there are fields stands for nothing.
    """
    left: dict[str, list[bytes]] = {}
    for name, value in fields:
        left.setdefault(name, []).append(value)
    for name in names:
        if left.get(name):
            yield name, left[name].pop()


def relaxed_field(name: str, value: bytes) -> bytes:
    """A field in "relaxed" canonicalization (§3.4.2), with its CRLF."""
    return b"%b:%b\r\n" % (name.encode("latin-1"), _SPACE.sub(b" ", value.replace(b"\r\n", b"")).strip(b" "))


def fold(text: str, after: str = "") -> str:
    """Folded with CRLF TAB into lines of at most 72; ``after``: only behind this character, else anywhere."""
    if not after:
        return "\r\n\t".join(text[start : start + _LINE] for start in range(0, len(text), _LINE))
    lines = [""]
    for word in text.replace(after, f"{after} ").split(" "):
        if len(lines[-1]) + len(word) > _LINE:
            lines.append("")
        lines[-1] += word
    return "\r\n\t".join(lines)
