"""Subject, message id, headers, payload and objects of all three generations, as jmap2nats makes them.

The expectations in ``golden/generation-*.json`` are the output of a Go program that is not part of this project. Its
structs and their tags are those of jmap2nats's bridge.go (generation 0 and 1), of its nats.go (subjects, ids, keys of
0a) and of go-jmap 0.5.3 (Email, BodyPart, Address and its String); encoding/json and time.Time did the rest. It reads
``golden/emails.json``, which are objects as Email/get answers them, for the account ``u1f5-A_9``, the prefix
``jmap.email`` and a ``max_per_part`` of 100000. Where Go iterates a map, it sorts; the header lines are made one line as
the NATS client of Go does it. Go 1.22 and later write ``\\b`` and ``\\f`` for what older ones wrote as ``\\u0008`` and
``\\u000c``; jmap2nats is built with a later one, so the short form is expected.

An object's value is ``text:`` and its text, or ``download:`` and the blob that is stored as it is.
"""

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from veredus.bridge.settings import PartsSettings, Wire
from veredus.bridge.wire import schema
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.parts import Outcome

GOLDEN = Path(__file__).parent / "golden"
ACCOUNT, PREFIX = "u1f5-A_9", "jmap.email"
PARTS = PartsSettings(max_per_part=100_000)
EMAILS: dict[str, Any] = json.loads((GOLDEN / "emails.json").read_bytes())
EXPECTED = {name: json.loads((GOLDEN / f"generation-{name}.json").read_bytes()) for name in get_args(Wire)}


def published(generation: Generation, email: dict[str, Any]) -> dict[str, Any]:
    """What a bridge makes of ``email`` when every part can be downloaded and stored."""
    objects, outcomes = {}, {}
    for part in generation.parts_of(email, PARTS):
        key = generation.object_key(ACCOUNT, email["id"], part.blob_id)
        if part.action in ("text", "download"):
            objects[key] = (
                f"text:{part.text.decode()}" if part.action == "text" else f"download:{part.blob_id}"
            )
        outcomes[part.blob_id] = part.outcome or Outcome(object_key=key)
    message = generation.message(PREFIX, ACCOUNT, email, outcomes)
    return {
        "subject": message.subject,
        "msgId": message.msg_id,
        "headers": message.headers,
        "payload": message.payload.decode(),
        "objects": objects,
    }


@pytest.mark.parametrize("name", EMAILS)
@pytest.mark.parametrize("wire", get_args(Wire))
def test_a_message_is_byte_for_byte_that_of_jmap2nats(wire: Wire, name: str) -> None:
    assert published(Generation.of(wire), EMAILS[name]) == EXPECTED[wire][name]


@pytest.mark.parametrize("wire", get_args(Wire))
def test_every_payload_is_what_its_schema_says(wire: Wire) -> None:
    validator = Draft202012Validator(schema.load("email/1"))
    for expected in EXPECTED[wire].values():
        validator.validate(json.loads(expected["payload"]))


async def test_real_mail_makes_valid_messages(shared: Path, tmp_path: Path) -> None:
    """Through our own server, with the properties that the bridge asks for beyond those of jmap2nats."""
    from jmap import new_user, open_server

    validator = Draft202012Validator(schema.load("email/1"))
    generation = Generation.of("1")
    properties = [*EMAILS["header and structure, which jmap2nats does not fetch"], "bodyStructure"]
    async with open_server("memory", tmp_path) as app:
        user = await new_user(app)
        inbox = (await user.call("Mailbox/set", create={"m": {"name": "In"}}))["created"]["m"]["id"]
        files = sorted((shared / "corpus" / "mail").rglob("*.eml"))[::12]
        for file in files:
            blob = await user.upload(file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
            made = await user.call(
                "Email/import", emails={"e": {"blobId": blob, "mailboxIds": {inbox: True}}}
            )
            email = (
                await user.call(
                    "Email/get",
                    ids=[made["created"]["e"]["id"]],
                    properties=properties,
                    fetchTextBodyValues=True,
                    fetchHTMLBodyValues=True,
                )
            )["list"][0]
            message = generation.message("p", user.account, email, {})
            validator.validate(json.loads(message.payload))
            assert not any(set(value) & set("\r\n\0") for value in message.headers.values()), file
        assert files
