"""What at least three of four independent parsers say about a message, we say too (corpus README)."""

import gzip
import json
import unicodedata
from collections import defaultdict
from datetime import datetime
from typing import Any

import pytest

from corpus.mail_corpus import CORPUS, crlf, needs_corpus, read
from veredus.formats.mime.email import convenience
from veredus.formats.mime.message import Message, parse

pytestmark = needs_corpus

EXCEPTIONS = {
    # "101" is the year 2001 (RFC 5322 §4.3: a three-digit year is an offset to 1900), not the year 101.
    ("dsn/flufl-bounce/smtp32_01.txt", "sentAt"),
    # The encoded word ends in NUL, which RFC 8621 §4.1.2.2 has dropped.
    ("dsn/sisimai-err/maildir/err/make-test-31.eml", "subject"),
    # Two To fields: RFC 8621 §4.1.3 takes the last one, "undisclosed-recipients:;".
    ("mail/spamassassin/dkim/test-pass-08.msg", "to"),
}


def _text(text: str | None) -> str:
    return " ".join(unicodedata.normalize("NFC", text or "").split())


def _facts(message: Message) -> dict[str, Any]:
    """The consensus fields of ``message``, as the corpus README defines them."""
    email = convenience(message.headers)
    leaves = [part for part in message.root.walk() if not part.is_multipart]
    facts: dict[str, Any] = {
        field: [address["email"].lower() for address in email[field] or [] if address["email"]]
        for field in ("from", "to", "cc")
    }
    facts["subject"] = _text(email["subject"])
    facts["messageId"] = (email["messageId"] or [None])[0]
    facts["sentAt"] = int(datetime.fromisoformat(email["sentAt"]).timestamp()) if email["sentAt"] else None
    facts["leafTypes"] = sorted(part.type for part in leaves)
    facts["files"] = sorted(
        [_text(part.name), part.size] for part in leaves if part.name and not part.type.startswith("message/")
    )
    return facts


@pytest.fixture(scope="module")
def disagreements() -> dict[str, list[str]]:
    found = defaultdict(list)
    with gzip.open(CORPUS / "consensus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            facts = _facts(parse(crlf(read(entry["path"]))))
            for field, consensus in entry["fields"].items():
                expected = consensus["value"]
                if consensus["level"] == "split" or (entry["path"], field) in EXCEPTIONS:
                    continue
                if facts[field] != (_text(expected) if field == "subject" else expected):
                    found[field].append(f"{entry['path']}: {expected!r}, we say {facts[field]!r}")
    return found


@pytest.mark.parametrize(
    "field", ["subject", "from", "to", "cc", "messageId", "sentAt", "leafTypes", "files"]
)
def test_we_say_what_most_parsers_say(disagreements: dict[str, list[str]], field: str) -> None:
    assert not disagreements[field]
