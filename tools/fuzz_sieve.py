"""Fuzz target of Sieve: a script and a message, apart by a line ``%%``; nothing but SieveError, and in time."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from veredus.formats import sieve
from veredus.formats.mime.message import parse

# Far beyond what a script may take that keeps to its steps, on a machine that is busy and with coverage counted.
_TAKES_S = 5.0
_APART = b"\n%%\n"
_NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
_MESSAGE = (
    b'From: "A" <a+b@x.example>\r\nTo: me@y.example\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?= 42\r\n'
    b"Date: Sat, 21 Nov 2026 10:11:12 +0100\r\nMessage-ID: <1@x.example>\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: text/html\r\n\r\n"
    b"<p>html</p>\r\n--b--\r\n"
)


def target(data: bytes) -> None:
    script, _, message = data.partition(_APART)
    try:
        compiled = sieve.compile(script.decode("utf-8", "surrogateescape"))
    except sieve.SieveError as error:
        assert error.line >= 1
        assert error.column >= 1
        assert str(error).isprintable() or "\n" not in error.message
        return
    environment = sieve.Environment(
        sender="a+b@x.example",
        recipient="me@y.example",
        now=_NOW,
        include=lambda name, location: compiled if name == "again" else None,
        items={"name": "Veredus", "location": "MDA"},
    )
    began = time.process_time()
    outcome = sieve.run(compiled, parse(message or _MESSAGE), environment)
    took = time.process_time() - began
    assert took < _TAKES_S, f"{took:.1f} s for {outcome.steps} steps"
    assert outcome.actions
    assert outcome.error is None or outcome.actions == (sieve.Keep(),)
    if outcome.message is not None:
        assert len(parse(outcome.message).data) == len(outcome.message)


_SCRIPTS = (
    'require ["fileinto","copy","imap4flags","mailbox"]; if anyof (header :contains "subject" "a", not exists "x")'
    ' { fileinto :copy :create :flags "\\\\Seen" "b"; } elsif size :over 1K { discard; } else { redirect "a@b"; }',
    'require ["variables","regex","relational","include","encoded-character"]; set :upper "a" "${hex:41}${1}";'
    ' if header :matches "subject" "*?a*" { set "b" "${1}${2}"; } if string :regex "${b}" "(a|b)*c+" { stop; }'
    ' if header :count "ge" "to" "1" { include :optional "again"; }',
    'require ["vacation-seconds","editheader","date","index","body"]; addheader :last "X-A" "b"; deleteheader '
    ':index 1 :contains "X-A" "b"; if date :index 1 :zone "+0100" "date" "hour" "10" { vacation :seconds 1 "x"; }'
    ' if body :content "text" :contains "html" { keep; }',
    'require ["enotify","duplicate","environment","ihave","reject","subaddress","envelope","special-use",'
    '"mailboxid"]; if ihave "foo" { foo; } if duplicate :handle "h" { reject "no"; } notify "mailto:a@b.example";'
    ' if envelope :detail "from" "b" { error "x"; } if environment "name" "Veredus" { stop; }',
)
WORDS: Sequence[bytes] = tuple(
    b'require ["variables","regex"]; | if | elsif | else { |}|;| :matches | :regex | :contains | :value "ge" '
    b'| :count "lt" | :comparator "i;octet" | :comparator "i;ascii-numeric" | "*" | "?*?*" | "(a+)+b" |${1}|${a}'
    b'|${a}${a}${a}| header "subject" | address "from" | body | date "date" | currentdate | set "a" | string '
    b'| include "again"; | fileinto | redirect | foreverypart {| break;| :mime | extracttext "a"; |text:\n|\n.\n|/*|*/|10G'.split(
        b"|"
    )
)


def seeds() -> list[bytes]:
    return [script.encode() for script in _SCRIPTS] + [
        script.encode() + _APART + _MESSAGE[:size]
        for script, size in zip(_SCRIPTS, (0, 50, 200, 900), strict=True)
    ]
