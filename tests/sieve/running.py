"""Scripts run for one message that has a little of everything."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from veredus.formats import sieve
from veredus.formats.mime.message import parse

NOW = datetime(2026, 11, 21, 21, 30, 5, tzinfo=timezone(timedelta(hours=1)))

MESSAGE = """\
Received: from b.example by c.example; Sat, 21 Nov 2026 23:30:00 -0800
Received: from a.example by b.example; Fri, 20 Nov 2026 10:00:00 +0000
From: =?utf-8?q?J=C3=BCrgen?= <Juergen+News@Sender.Example>
To: Me <me@home.example>, "x, y" <other@away.example>
Cc: Team: one@team.example, two@team.example;
Subject: [list] Hello, =?utf-8?q?sch=C3=B6ne?= World
Date: Fri, 20 Nov 2026 09:59:30 -0330
Message-ID: <1@sender.example>
X-Count: 7
X-Count: 12
X-Empty:
X-Folded: one
 two
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe aus dem Text
--b
Content-Type: text/html; charset=utf-8

<p>Seen <b>by</b> readers<!-- not this --></p>
--b
Content-Type: application/pdf; name="Rechnung.pdf"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="Rechnung.pdf"

JVBERi0xLjQ=
--b--
""".replace("\n", "\r\n").encode()


class Mailboxes:
    """What there is, by path; with the id and the use of some."""

    paths: Mapping[str, tuple[str, str | None]] = {
        "INBOX": ("m0", "\\Inbox"),
        "Archive": ("m1", "\\Archive"),
        "Lists/veredus": ("m2", None),
    }

    def exists(self, path: str) -> bool:
        return path in self.paths

    def exists_id(self, id: str) -> bool:
        return any(id == known for known, _ in self.paths.values())

    def exists_special_use(self, use: str, path: str | None) -> bool:
        uses = (
            [self.paths[path][1]]
            if path in self.paths
            else []
            if path
            else [u for _, u in self.paths.values()]
        )
        return use.lower() in [known.lower() for known in uses if known]


def environment(**changed: Any) -> sieve.Environment:
    values: dict[str, Any] = {
        "sender": "juergen@sender.example",
        "recipient": "me+lists@home.example",
        "now": NOW,
        "mailboxes": Mailboxes(),
        "items": {"domain": "home.example", "name": "Veredus", "remote-ip": "192.0.2.1"},
    }
    return sieve.Environment(**{**values, **changed})


def run(script: str, message: bytes = MESSAGE, **changed: Any) -> sieve.Outcome:
    return sieve.run(sieve.compile(script), parse(message), environment(**changed))


def requiring(script: str) -> str:
    """``script`` with everything required that there is, except ihave, which would put errors off."""
    names = ", ".join(f'"{name}"' for name in sieve.EXTENSIONS if name != "ihave")
    return f"require [{names}];\n{script}"


def holds(test: str, before: str = "", **changed: Any) -> bool:
    """If a test is true, with every extension at hand."""
    outcome = run(requiring(f"{before} if {test} {{ discard; }}"), **changed)
    assert outcome.error is None, outcome.error
    return outcome.actions == (sieve.Discard(),)


def error_of(script: str) -> str:
    """What compile says against a script."""
    try:
        sieve.compile(script)
    except sieve.SieveError as error:
        return str(error)
    return "valid"
