"""Fuzz target of Sieve: a script and a message, with a line ``%%`` between them.

Nothing but SieveError is raised, and no run takes long.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from veredus.formats import sieve
from veredus.formats.mime.message import parse

# Far beyond what the steps of a run may take, on a machine that is busy and with coverage counted.
_TAKES_S = 5.0
_APART = b"\n%%\n"
_NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
_MESSAGE = b"""\
From: "A" <a+b@x.example>
To: me@y.example
Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?= 42
Date: Sat, 21 Nov 2026 10:11:12 +0100
Message-ID: <1@x.example>
Content-Type: multipart/mixed; boundary=b

--b

text
--b
Content-Type: text/html

<p>html</p>
--b--
""".replace(b"\n", b"\r\n")


def target(data: bytes) -> None:
    script, _, message = data.partition(_APART)
    compiled = _compiled(script)
    if compiled is None:
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


def _compiled(script: bytes) -> sieve.Script | None:
    """None: the script is not valid, and the error says where."""
    try:
        return sieve.compile(script.decode("utf-8", "surrogateescape"))
    except sieve.SieveError as found:
        error = found
    assert min(error.line, error.column) >= 1
    assert error.line <= script.count(b"\n") + 1
    assert "\n" not in error.message
    return None


_SCRIPTS = (
    """
require ["fileinto", "copy", "imap4flags", "mailbox"];
if anyof (header :contains "subject" "a", not exists "x") {
    fileinto :copy :create :flags "\\\\Seen" "b";
} elsif size :over 1K { discard; } else { redirect "a@b"; }
""",
    """
require ["variables", "regex", "relational", "include", "encoded-character"];
set :upper "a" "${hex:41}${1}";
if header :matches "subject" "*?r*" { set "b" "${1}${2}"; }
if string :regex "${b}" "(a|b)*c+" { stop; }
if header :count "ge" "to" "1" { include :optional "again"; }
""",
    """
require ["vacation-seconds", "editheader", "date", "index", "body"];
addheader :last "X-A" "b";
deleteheader :index 1 :contains "X-A" "b";
if date :index 1 :zone "+0100" "date" "hour" "10" { vacation :seconds 1 "x"; }
if body :content "text" :contains "html" { keep; }
""",
    """
require ["enotify", "duplicate", "environment", "ihave", "reject", "subaddress", "envelope", "special-use"];
if ihave "foo" { foo; }
if duplicate :handle "h" { reject "no"; }
notify "mailto:a@b.example";
if envelope :detail "from" "x" { error "x"; }
if environment "name" "Veredus" { stop; }
""",
)
# fmt: off
WORDS: Sequence[bytes] = (
    b'require ["variables","regex"];', b"if ", b" elsif ", b" else {", b"}", b";", b" :matches ", b" :regex ",
    b" :contains ", b' :value "ge" ', b' :count "lt" ', b' :comparator "i;octet" ', b' "*" ', b' "?*?*" ',
    b' "(a+)+b" ', b"${1}", b"${a}", b"${a}${a}${a}", b' header "subject" ', b' address "from" ', b" body ",
    b' date "date" ', b' set "a" ', b" string ", b' include "again"; ', b" fileinto ", b" redirect ",
    b" foreverypart {", b" break; ", b" :mime ", b' extracttext "a"; ', b"text:\n", b"\n.\n", b"/*", b"*/",
    b"10G",
)
# fmt: on


def seeds() -> list[bytes]:
    scripts = [script.encode() for script in _SCRIPTS]
    assert all(_compiled(script) for script in scripts)
    return scripts + [script + _APART + _MESSAGE[: 100 * number] for number, script in enumerate(scripts)]
