"""Fuzz targets without a server: MIME, header properties, PatchObjects, the SMTP dialogue."""

import copy
import re
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from tools import fuzz_sieve
from tools.fuzz_input import ODD_VALUES, Choices
from veredus.formats import smtp
from veredus.formats.mime import message as messages
from veredus.formats.mime.header import FORMS, Header, parse_header_property
from veredus.mail.email.describe import describe, texts
from veredus.wire import patch
from veredus.wire.errors import SetError

# Far beyond what any message of this size may take, on a machine that is busy and with coverage counted.
_LARGE, _LARGE_TAKES_S = 200_000, 5.0


def mime(data: bytes) -> None:
    """The whole way of a message: parsed, described, indexed, decoded; legal JSON, and in time."""
    _take_apart(data)
    if data and zlib.crc32(data) % 32 == 0:
        # What is quadratic shows in large input alone, and a fuzzer makes small ones.
        began = time.process_time()
        _take_apart(data * (_LARGE // len(data)))
        took = time.process_time() - began
        assert took < _LARGE_TAKES_S, f"{took:.1f} s for a message of {_LARGE} octets"


def _take_apart(data: bytes) -> None:
    message = messages.parse(data)
    email = describe(message, "B" + "a" * 52)
    parts = message.root.walk()
    values = [
        messages.decode_text(part.content(), part.charset, part.encoding)
        for part in parts
        if not part.is_multipart
    ]
    assert all(0 <= part.start <= part.end <= len(data) for part in parts)
    cut = [messages.truncate_text(text, 10, is_html) for text, _ in values for is_html in (False, True)]
    assert all(len(text.encode()) <= 10 for text, _ in cut)
    assert len(email["preview"]) <= 256
    forms = [form(header.value) for header in message.headers[:50] for form in FORMS.values()]
    assert messages.is_message(data[:65_536]) == bool(message.headers) or len(data) > 65_536
    _check_json([email, texts(message, email), values, cut, forms])


def _check_json(value: Any) -> None:
    """It can be encoded, and read again: no lone surrogate, no key that is not a string."""
    msgspec.json.decode(msgspec.json.encode(value))


# ---------------------------------------------------------------- header properties

_NAMES = (
    "From To Subject Date Message-ID References List-Unsubscribe X-Y Received Resent-Date Content-Type"
).split()
_PIECES = (
    b"a", b" ", b"\t", b"\r\n ", b"\n\t", b'"', b"\\", b"<", b">", b"@", b":", b";", b",", b".", b"(", b")",
    b"[", b"]",
    b"=?utf-8?q?", b"=?utf-8?b?", b"=C3=A9", b"w6k=", b"?=", b"=?x?Q?=FF?=", b"\xff", b"\xc3\xa9", b"\0",
    b"mailto:",
    b"Thu, 13 Feb 2020 10:00:00 +0000", b"31 Feb 99999 25:61:61 -2500", b"GMT", b"example.com", b"group: ",
    b"%C3",
)  # fmt: skip


def header(data: bytes) -> None:
    """``header:…`` properties: a value of the form's type, or a ValueError."""
    choices = Choices(data)
    fields = choices.many(partial(_field, choices), 6)
    name = choices.pick([*_NAMES, "x-y", "", ":", "é", choices.text()])
    form = choices.pick(["", *(f":{form}" for form in FORMS), ":asX", ":", ":all", choices.text()])
    wanted = "header:" + name + form + choices.pick(["", ":all", ":all:all", " "])
    try:
        prop = parse_header_property(wanted)
    except ValueError:
        return
    assert prop is not None
    value = prop.value(fields)
    assert isinstance(value, list) == (prop.all or (value is not None and prop.form in _LISTS)), (
        wanted,
        value,
    )
    _check_json(value)


_LISTS = {"asAddresses", "asGroupedAddresses", "asMessageIds", "asURLs"}


def _field(choices: Choices) -> Header:
    octets = b"".join(
        choices.pick(_PIECES) if choices.below(3) else choices.octets(5) for _ in range(choices.below(20))
    )
    block = choices.pick(_NAMES).encode() + b": " + octets
    found = messages.parse(block + b"\r\n\r\n").headers
    return found[0] if found else Header("X", "")


# ---------------------------------------------------------------- PatchObject

_TOKENS = ("a", "b", "c", "", "~0", "~1", "~", "~2", "~01", "0", "-", "é", "x/y")


def patch_object(data: bytes) -> None:
    """A patch applied as the simplest program would do it, or invalidPatch when that one says so."""
    choices = Choices(data)
    record = {choices.pick("abc"): _nested(choices, 3) for _ in range(3)}
    defaults = {name: choices.pick(ODD_VALUES) for name in "ab"}
    changes = {_pointer(choices): choices.pick([None, 1, {"a": 1}, [0]]) for _ in range(choices.below(5))}
    before = copy.deepcopy((record, changes, defaults))
    outcomes: list[dict[str, Any] | None] = []
    for order in (changes, dict(reversed(changes.items()))):
        try:
            outcomes.append(patch.apply(record, order, defaults))
        except SetError as error:
            outcomes.append(None if error.type == "invalidPatch" else {"error": error.type})
    assert (record, changes, defaults) == before, "an argument was changed"
    assert outcomes == [_patched(record, changes, defaults)] * 2, (record, changes)


def _nested(choices: Choices, depth: int) -> Any:
    if not depth or choices.below(4) == 0:
        return choices.pick([1, None, "x", [], [{"a": 1}], {}])
    return {choices.pick(_KEYS): _nested(choices, depth - 1) for _ in range(choices.below(4))}


_KEYS = ("a", "b", "c", "", "~", "/", "x/y", "0", "é")


def _pointer(choices: Choices) -> str:
    if choices.one_in(40):
        return "/".join("a" * 150)
    return "/".join([choices.pick("abcd"), *choices.many(partial(choices.pick, _TOKENS), 3)])


def _patched(
    record: dict[str, Any], changes: dict[str, Any], defaults: dict[str, Any]
) -> dict[str, Any] | None:
    """RFC 8620 §5.3, sentence by sentence; None: not valid."""
    if any(re.search(r"~(?![01])", pointer) for pointer in changes):
        return None
    paths = [
        tuple(t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")) for pointer in changes
    ]
    if any(one != other and other[: len(one)] == one for one in paths for other in paths):
        return None
    result = copy.deepcopy(record)
    for path, value in zip(paths, changes.values(), strict=True):
        node: Any = result
        for token in path[:-1]:
            node = node.get(token) if isinstance(node, dict) else None
        if not isinstance(node, dict):
            return None
        if len(path) == 1:
            node[path[0]] = defaults.get(path[0]) if value is None else value
        elif value is None:
            node.pop(path[-1], None)
        else:
            node[path[-1]] = value
    return result


# ---------------------------------------------------------------- SMTP

_LIMITS = smtp.Limits(
    message_size=300, in_flight=2000, recipients=3, command_line=80, bad_commands=6, junk_commands=9
)
_REPLY = re.compile(rb"(?:[2-5]\d\d[ -][ -~]*\r\n)*")


def smtp_dialogue(data: bytes) -> None:
    """How a stream is cut makes no difference, replies are well formed, nothing stays held."""
    role: smtp.Role = "lmtp" if data[:1] > b"\x7f" else "smtp"
    stream = (b"LHLO x\r\n" if role == "lmtp" else b"EHLO x\r\n") + data[1:]
    size = 1 + len(data) % 7
    whole = _talk(role, [stream])
    assert whole == _talk(role, [stream[at : at + size] for at in range(0, len(stream), size)])
    assert whole == _talk(role, [stream[at : at + 1] for at in range(len(stream))])


def _talk(role: smtp.Role, pieces: list[bytes]) -> tuple[list[smtp.Event], bytes]:
    in_flight = smtp.Budget(_LIMITS.in_flight)
    session = smtp.Session(smtp.Terms(role, "mx.example", _LIMITS, in_flight, offers_tls=True))
    events: list[smtp.Event] = []
    for piece in pieces:
        session.receive(piece)
        while event := session.next_event():
            events.append(event)
            match event:
                case smtp.RecipientOffered(address):
                    session.answer_recipient(
                        smtp.Reply(550, "5.1.1", "No") if address.startswith("no") else None
                    )
                case smtp.MessageReceived(envelope):
                    assert 0 < len(envelope.recipients) <= _LIMITS.recipients
                    assert len(event.text) <= _LIMITS.message_size
                    session.answer_message([smtp.Reply(250, "2.0.0", r) for r in envelope.recipients])
                case smtp.TlsRequested():
                    # What was pipelined behind STARTTLS is dropped, and how much that is depends on the cut.
                    session.close("lost")
    output = session.output()
    assert _REPLY.fullmatch(output), output
    assert in_flight.used <= _LIMITS.in_flight
    session.close("lost")
    assert in_flight.used == 0
    return events, output


TARGETS: dict[str, Callable[[bytes], None]] = {
    "mime": mime,
    "header": header,
    "patch": patch_object,
    "smtp": smtp_dialogue,
    "sieve": fuzz_sieve.target,
}
