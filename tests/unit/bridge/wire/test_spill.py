"""A message always fits: headers and payload against max_payload, on paper and with a real nats-server."""

import asyncio
import json
from pathlib import Path
from typing import Any

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from contract.buses import nats_server
from veredus.bridge.wire import schema
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.headers import clean
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.spill import KEPT, MARGIN, MIN_ROOM, Spilled, TooSmall, fit

MAX_PAYLOAD = 1024 * 1024
GENERATION = Generation.of("1")


def message(email: dict[str, Any], extra: dict[str, str] | None = None) -> Message:
    return GENERATION.message("jmap.email", "a1", {"id": "e1", "threadId": "t1", **email}, {}, extra)


def spilled(email: dict[str, Any]) -> Spilled:
    found = fit(message(email), MAX_PAYLOAD)
    assert isinstance(found, Spilled)
    return found


# 2 MB of header: far more addresses than fit, each of them small.
MANY = [{"name": "Ünïcode", "email": f"user{n}@example.org"} for n in range(50_000)]


def test_what_fits_is_not_touched() -> None:
    plain = message({"preview": "x" * 900_000})
    assert fit(plain, MAX_PAYLOAD) is plain


def test_a_large_payload_goes_by_reference_with_its_headers_whole() -> None:
    email = {"subject": "kept", "textBody": [{"partId": "1", "name": "x" * 2000}] * 1000, "to": MANY[:3]}
    found = spilled(email)
    assert found.payload == message(email).payload
    assert found.object_key == "a1/e1/_email.json"
    assert found.message.headers == message(email).headers | {"Jmap-Payload": "ref"}
    slim = json.loads(found.message.payload)
    Draft202012Validator(schema.load("email/1")).validate(slim)
    assert slim.items() >= {"id": "e1", "accountId": "a1", "threadId": "t1", "subject": "kept"}.items()
    assert (slim["truncated"], slim["objectKey"], "textBody" in slim) == (True, "a1/e1/_email.json", False)


def test_a_header_block_that_is_too_large_is_cut_and_the_object_has_it_whole() -> None:
    found = spilled(
        {"to": MANY, "references": [f"{n}@example.org" for n in range(50_000)], "subject": "kept"}
    )
    headers = found.message.headers
    assert found.message.size <= MAX_PAYLOAD - MARGIN
    assert len(headers["Jmap-To"].encode()) <= 1024
    assert headers["Jmap-To"].startswith("Ünïcode <user0@example.org>, Ünïcode <user1@")
    assert headers["Jmap-To"].endswith(">")
    assert (headers["Jmap-Subject"], headers["Jmap-Email-Id"]) == ("kept", "e1")
    assert headers["Jmap-Cut"] == "Jmap-References,Jmap-To"
    assert len(json.loads(found.payload)["to"]) == len(MANY)


def test_when_only_the_headers_are_too_large_the_payload_stays_inline() -> None:
    original = message({"subject": "x"}, {"Jmap-Note": "n" * 2_000_000})
    found = fit(original, MAX_PAYLOAD)
    assert isinstance(found, Message)
    assert found.payload == original.payload
    assert (len(found.headers["Jmap-Note"]), found.headers["Jmap-Cut"]) == (1024, "Jmap-Note")


def test_a_server_with_hardly_any_room_is_named() -> None:
    with pytest.raises(TooSmall, match="max_payload of the NATS server is 16383; 16384 is the least"):
        fit(message({}), MARGIN + MIN_ROOM - 1)


@given(
    values=st.dictionaries(
        st.sampled_from(["Jmap-Subject", "Jmap-References", *(f"X-{n}" for n in range(40))]),
        st.builds(lambda unit, n: unit * n, st.sampled_from(["a", "é", "😀", "a,"]), st.integers(0, 30_000)),
        max_size=40,
    ),
    body=st.integers(0, 60_000),
    max_payload=st.integers(MARGIN + MIN_ROOM, 70_000),
)
def test_every_message_fits_and_keeps_its_ids(values: dict[str, str], body: int, max_payload: int) -> None:
    account, id = "a" * 255, "e" * 255
    lists = {name: ["i" * 900] for name in ("messageId", "inReplyTo", "references")}
    addresses = {name: [{"email": "x" * 900}] for name in ("sender", "from", "to", "cc", "bcc", "replyTo")}
    email = {
        "id": id,
        "threadId": "t" * 255,
        "preview": "p" * body,
        "subject": "s" * 900,
        **lists,
        **addresses,
    }
    event = {
        "ce-id": f"{account}/{id}",
        "ce-source": f"jmap://{'h' * 253}/{account}",
        "ce-type": "io.jmap.email.v1",
    }
    original = GENERATION.message("jmap.email", account, email, {}, extra=event)
    original.headers.update({name: clean(value) for name, value in values.items()})
    found = fit(original, max_payload)
    last = found.message if isinstance(found, Spilled) else found
    assert last.size <= max_payload - MARGIN
    assert (last.subject, last.msg_id) == (original.subject, original.msg_id)
    for name in KEPT & original.headers.keys() - {"Jmap-Payload"}:
        assert last.headers[name] == original.headers[name]
    slim = json.loads(last.payload)
    assert (slim["id"], slim["accountId"]) == (id, account)


@pytest.mark.service
async def test_a_nats_server_takes_hostile_and_huge_messages_and_gives_them_back(tmp_path: Path) -> None:
    """nats-py checks the payload alone; the server would close the connection."""
    hostile = message(
        {
            "subject": "a\r\nNats-Msg-Id: forged\0\r\n\r\nPUB x 1\r\n",
            "from": [{"name": "日本\n", "email": "x@y"}],
        }
    )
    found = [
        hostile,
        *(fit(message({"to": MANY, "preview": "x" * size}), MAX_PAYLOAD) for size in (10, 5_000_000)),
    ]
    sent = [one.message if isinstance(one, Spilled) else one for one in found]
    async with nats_server(tmp_path) as server:
        client = await nats.connect(server.url, allow_reconnect=False)
        assert client.max_payload == MAX_PAYLOAD
        subscription = await client.subscribe("jmap.email.>")
        for one in sent:
            await client.publish(one.subject, one.payload, headers=one.all_headers)
        got = [await asyncio.wait_for(subscription.next_msg(), 10) for _ in sent]
        await client.close()
    assert [(msg.subject, msg.headers, msg.data) for msg in got] == [
        (one.subject, one.all_headers, one.payload) for one in sent
    ]


@pytest.mark.service
async def test_the_size_is_what_the_server_is_sent(tmp_path: Path) -> None:
    one = message({"subject": "Grüße", "to": MANY[:5]})
    async with nats_server(tmp_path) as server:
        client = await nats.connect(server.url, allow_reconnect=False)
        await client.publish(one.subject, one.payload, headers=one.all_headers)
        pending = b"".join(client._pending)
        await client.close()
    command, _, rest = pending.partition(b"\r\n")
    assert int(command.split()[-1]) + len(one.subject) == one.size == len(rest) - 2 + len(one.subject)
