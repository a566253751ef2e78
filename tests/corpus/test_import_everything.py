"""Every message of the corpus comes in or is refused as no message: never a fault, never slowly."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from corpus.mail_corpus import crlf, messages, needs_corpus
from jmap import new_user, open_server

pytestmark = [needs_corpus, pytest.mark.rfc("8621", "4.8"), pytest.mark.must, pytest.mark.timeout(600)]

BATCH = 40
# What must be answered within this time is one message: a batch is given no more.
MOST_S = 5.0
PROPERTIES = (
    "id blobId threadId mailboxIds keywords size receivedAt messageId inReplyTo references sender from to cc bcc "
    "replyTo subject sentAt hasAttachment preview headers bodyStructure textBody htmlBody attachments bodyValues "
    "header:Received:all header:From:asGroupedAddresses header:Content-Type:asText"
).split()
PART = "partId blobId size headers name type charset disposition cid language location subParts".split()


async def check(jmap: Any, batch: list[tuple[str, bytes]], refused: dict[str, str]) -> int:
    """Import, fetch all there is, search and destroy one batch; the number of Emails."""
    account = {"accountId": jmap.account}
    paths, emails = {}, {}
    for n, (path, data) in enumerate(batch):
        paths[f"c{n}"] = path
        emails[f"c{n}"] = {
            "blobId": await jmap.upload(data),
            "mailboxIds": {await jmap.mailbox("inbox"): True},
        }
    start = time.monotonic()
    answers = (
        await jmap.request(
            ["Email/import", {**account, "emails": emails}, "0"],
            ["Email/get", {**account, "ids": None, "properties": PROPERTIES, "bodyProperties": PART,
                           "fetchAllBodyValues": True, "maxBodyValueBytes": 100_000}, "1"],
            ["Email/parse", {**account, "blobIds": [email["blobId"] for email in emails.values()]}, "2"],
            ["SearchSnippet/get", {**account, "filter": {"text": "the"},
                                   "#emailIds": {"resultOf": "1", "name": "Email/get", "path": "/list/*/id"}}, "3"],
        )
    )["methodResponses"]  # fmt: skip
    assert time.monotonic() - start < MOST_S, list(paths.values())
    assert [name for name, _, _ in answers] == ["Email/import", "Email/get", "Email/parse", "SearchSnippet/get"], [
        paths, [answer for answer in answers if answer[0] == "error"],
    ]  # fmt: skip
    # Legal JSON without lone surrogates: it can be encoded again as UTF-8.
    json.dumps(answers, ensure_ascii=False).encode()
    refused.update({paths[key]: error["type"] for key, error in (answers[0][1]["notCreated"] or {}).items()})
    # What is refused as an Email cannot be parsed as one either.
    assert len(answers[2][1]["notParsable"] or ()) == len(
        {emails[key]["blobId"] for key in answers[0][1]["notCreated"] or {}}
    )
    found = answers[1][1]["list"]
    assert len(found) == len(answers[0][1]["created"] or ())
    assert all(len(email["preview"]) <= 256 for email in found)
    await jmap.set("Email", destroy=[email["id"] for email in found])
    return len(found)


async def test_every_message_is_imported_or_no_message(tmp_path: Path) -> None:
    refused: dict[str, str] = {}
    imported = total = 0
    async with open_server("sqlite", tmp_path) as app:
        jmap = await new_user(app)
        batch: list[tuple[str, bytes]] = []
        everything = [(path, crlf(data)) for path, data in messages()]
        for one in everything:
            batch.append(one)
            if len(batch) == BATCH or sum(len(data) for _, data in batch) > 2_000_000:
                imported += await check(jmap, batch, refused)
                batch = []
        imported += await check(jmap, batch, refused)
        total = len(everything)
        counted = await jmap.get("Mailbox", await jmap.mailbox("inbox"))
        assert (counted["totalEmails"], counted["totalThreads"]) == (0, 0)
        assert await app.store.check() == []
    assert set(refused.values()) <= {"invalidEmail"}, refused
    assert imported + len(refused) == total
    # Nearly all are messages; those that are not have no header field.
    whole = [path for path in refused if "_decoded_" not in path]
    assert len(whole) < total // 50, whole
