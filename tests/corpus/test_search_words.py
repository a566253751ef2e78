"""What Apache James indexes of its sample messages is found by Email/query (RFC 8621 §4.4.1)."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from corpus.mail_corpus import CORPUS, crlf, needs_corpus
from jmap import STORES, message, new_user, open_server

pytestmark = [needs_corpus, pytest.mark.rfc("8621", "4.4.1"), pytest.mark.should]

FOLDER = CORPUS / "mail" / "james" / "mailbox" / "store" / "src" / "test" / "resources" / "eml"
WORD = re.compile(r"[a-zA-Z]{4,}")


def samples() -> list[Path]:
    return [path for path in sorted(FOLDER.glob("*.json")) if path.with_suffix(".eml").exists()]


def searches(document: Any) -> list[dict[str, str]]:
    """Filters that must find the message: each indexed word, address and name."""
    found = []
    for name in ("from", "to", "cc"):
        for one in document.get(name) or ():
            found += [{name: one["address"]}, {"text": one["address"]}]
            found += [{name: one["name"]}] if one["name"] else []
    found += [{"subject": subject} for subject in document.get("subject") or ()]
    words = list(dict.fromkeys(WORD.findall(document.get("textBody") or "")))
    for word in words[:40]:
        found += [{"body": word}, {"text": word.upper()}]
    found += [{"text": one["fileName"]} for one in document.get("attachments") or () if one.get("fileName")]
    return found


@pytest.mark.parametrize("store", STORES)
async def test_words_names_and_addresses_are_found(store: str, tmp_path: Path) -> None:
    paths = samples()
    assert len(paths) >= 4
    async with open_server(store, tmp_path) as app:
        jmap = await new_user(app)
        await jmap.import_email(message("unrelated", "nothing of the kind"))
        for path in paths:
            email = await jmap.import_email(crlf(path.with_suffix(".eml").read_bytes()))
            document = json.loads(path.read_text("utf-8"))
            missed = [
                one for one in searches(document) if email["id"] not in await jmap.query("Email", filter=one)
            ]
            assert missed == [], path.name
