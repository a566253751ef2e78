"""Names and ids of the three generations, and which of them wrote a stream."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.bridge.settings import PartsSettings, Wire
from veredus.bridge.wire.email import view
from veredus.bridge.wire.generation import Generation, detect
from veredus.bridge.wire.headers import BadHeaderName, checked, clean
from veredus.bridge.wire.parts import Outcome
from veredus.bridge.wire.times import in_header, in_json, utc
from veredus.bridge.wire.values import NotAnId

ONE = Generation.of("1")
SCHEMA = {"Jmap2nats-Schema-Version": "1"}


@pytest.mark.parametrize(
    ("subject", "headers", "wire"),
    [
        (None, None, "1"),
        ("jmap.email.a1", SCHEMA, "1"),
        ("jmap.email.a1", {"jmap2nats-schema-version": "1"}, "1"),
        ("jmap.email.a1", {"Jmap-Email-Id": "e1"}, "0"),
        ("jmap.email.a1", {"Nats-Msg-Id": "e1"}, "0"),
        ("jmap.email.a1", {"Nats-Msg-Id": "a1/e1"}, "1"),
        ("jmap.email.a1", None, "0"),
        ("jmap.email.a1.e1", {"Jmap-Email-Id": "e1"}, "0a"),
        # A stream that others manage may end with a message that is none of ours.
        ("orders.new.7", {}, "1"),
        ("jmap.emails.a1", {}, "1"),
        ("jmap.email", {}, "1"),
    ],
)
def test_the_last_message_tells_the_generation(
    subject: str | None, headers: dict[str, str] | None, wire: Wire
) -> None:
    assert detect(subject, "jmap.email", headers) == wire


@pytest.mark.parametrize("wire", get_args(Wire))
def test_a_generation_is_detected_from_its_own_message(wire: Wire) -> None:
    message = Generation.of(wire).message("my.prefix", "a1", {"id": "e1"}, {})
    assert detect(message.subject, "my.prefix", message.all_headers) == wire


@pytest.mark.parametrize("id", ["", "a.b", "a b", "*", ">", "a/b", "é", "a\n", "x" * 256, None, 7])
def test_what_is_no_id_never_becomes_part_of_a_name(id: Any) -> None:
    for make in (
        lambda: ONE.subject("p", id, "e1"),
        lambda: ONE.msg_id("a1", id),
        lambda: ONE.object_key("a1", "e1", id),
        lambda: ONE.message("p", "a1", {"id": id}, {}),
        lambda: ONE.message("p", id, {"id": "e1"}, {}),
    ):
        with pytest.raises(NotAnId, match="is not an Id"):
            make()


def test_an_invalid_blob_id_is_an_error_of_its_part_alone() -> None:
    email = {"id": "e1", "attachments": [{"blobId": "a/b", "size": 1}, {"blobId": "b1", "size": 1}]}
    for wire in get_args(Wire):
        bad, good = Generation.of(wire).parts_of(email, PartsSettings())
        assert (bad.outcome, good.action) == (Outcome(error="invalid blob id"), "download")


@pytest.mark.parametrize(
    ("mode", "actions"),
    [
        ("all", ["text", "download"]),
        ("attachments", ["skip", "download"]),
        ("text", ["text", "skip"]),
        ("none", ["skip", "skip"]),
    ],
)
def test_the_mode_says_which_parts_are_stored(mode: Any, actions: list[str]) -> None:
    email = {
        "id": "e1",
        "textBody": [{"partId": "1", "blobId": "b1", "size": 1, "type": "text/plain"}],
        "attachments": [{"partId": "2", "blobId": "b2", "size": 1, "type": "text/plain"}],
        "bodyValues": {"1": {"value": "x"}},
    }
    assert [part.action for part in ONE.parts_of(email, PartsSettings(mode=mode))] == actions


def test_a_truncated_text_is_never_stored_as_if_it_were_whole() -> None:
    email = {
        "id": "e1",
        "textBody": [{"partId": "1", "blobId": "b1", "size": 9, "type": "text/plain"}],
        "bodyValues": {"1": {"value": "x", "isTruncated": True}},
    }
    plans = {wire: Generation.of(wire).parts_of(email, PartsSettings())[0] for wire in get_args(Wire)}
    assert {wire: plan.action for wire, plan in plans.items()} == {
        "0a": "download",
        "0": "download",
        "1": "fail",
    }
    assert plans["1"].error == "body value truncated: partId 1"


def test_a_body_that_is_also_attached_is_a_body_even_when_the_structure_names_the_attachment_first() -> None:
    part = {"blobId": "b1", "size": 4, "type": "text/plain"}
    email = {
        "id": "e1",
        "bodyStructure": {
            "type": "multipart/mixed",
            "subParts": [{**part, "partId": "1"}, {**part, "partId": "2"}],
        },
        "textBody": [{**part, "partId": "2"}],
        "bodyValues": {"2": {"value": "text"}},
    }
    assert [(plan.action, plan.text) for plan in ONE.parts_of(email, PartsSettings())] == [("text", b"text")]


@pytest.mark.parametrize(
    "date",
    ["yesterday", "2026-02-30T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:60Z",
     "0000-01-01T00:00:00Z", "2026-01-01T00:00:00+24:00", "٢٠٢٦-01-01T00:00:00Z", ""],
)  # fmt: skip
def test_a_bad_date_costs_its_header_and_nothing_else(date: str) -> None:
    message = ONE.message("p", "a1", {"id": "e1", "sentAt": date, "subject": "kept"}, {})
    assert "Jmap-Sent-At" not in message.headers
    assert message.headers["Jmap-Subject"] == "kept"
    assert json.loads(message.payload).get("sentAt", "") == date


def test_a_date_that_leaves_the_calendar_in_utc_has_no_header_and_stays_in_the_payload() -> None:
    for date in ("9999-12-31T23:00:00-02:00", "0001-01-01T00:30:00+01:00"):
        assert (in_header(date), in_json(date)) == ("", date)


def test_a_moment_is_cut_to_seconds() -> None:
    assert utc(datetime(2026, 1, 1, 0, 0, 0, 999_999, UTC)) == "2026-01-01T00:00:00Z"


def test_a_header_is_one_line_and_keeps_everything_else() -> None:
    assert clean("\t a\r\nb\0c\u3000\r\n ") == "a  b c\u3000"
    assert clean("\ud800x") == "\ufffdx"


@pytest.mark.parametrize("name", ["", "A B", "A:B", "Ä", "A\r\n", "a,b", "(x)", "Nats-TTL", "nats-msg-id"])
def test_a_bad_header_name_is_refused(name: str) -> None:
    with pytest.raises(BadHeaderName):
        checked({name: "value"})


def test_extra_headers_replace_none_of_jmap2nats() -> None:
    message = ONE.message("p", "a1", {"id": "e1"}, {}, extra={"Jmap-Email-Id": "other", "Jmap-Op": "created"})
    assert (message.headers["Jmap-Email-Id"], message.headers["Jmap-Op"]) == ("e1", "created")


def test_outcomes_stand_with_their_part_in_every_list() -> None:
    part = {"partId": "1", "blobId": "b1"}
    outcomes = {"b1": Outcome.failed("put", "bucket is full")}
    seen = view({"textBody": [part], "bodyStructure": {"subParts": [part]}}, "a1", "e1", outcomes)
    assert seen["textBody"][0]["error"] == "put: bucket is full"
    assert seen["bodyStructure"]["subParts"][0]["error"] == "put: bucket is full"


def test_a_body_structure_without_end_is_cut() -> None:
    part: dict[str, Any] = {"partId": "x", "blobId": "b1"}
    for _ in range(5000):
        part = {"subParts": [part]}
    email = {"id": "e1", "bodyStructure": part}
    assert ONE.message("p", "a1", email, {}).payload
    assert ONE.parts_of(email, PartsSettings()) == []


PROPERTIES = (
    "blobId threadId mailboxIds keywords size receivedAt headers messageId inReplyTo references sender from to cc bcc "
    "replyTo subject sentAt bodyStructure textBody htmlBody attachments hasAttachment preview bodyValues"
).split()
MEMBERS = "partId blobId size headers name type email value language subParts isTruncated 1".split()
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.sampled_from(["1", "b1"])
)
garbage = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS) | st.text(st.characters()), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(email=st.dictionaries(st.sampled_from(PROPERTIES), garbage), wire=st.sampled_from(get_args(Wire)))
def test_garbage_in_an_email_never_raises_and_never_breaks_a_header(
    email: dict[str, Any], wire: Wire
) -> None:
    generation = Generation.of(wire)
    plans = generation.parts_of(email, PartsSettings())
    message = generation.message("p", "a1", {**email, "id": "e1"}, {p.blob_id: Outcome("k") for p in plans})
    assert json.loads(message.payload)["id"] == "e1"
    assert not any(set(value) & set("\r\n\0") for value in message.headers.values())
    assert all(value.encode() == value.strip(" \t").encode() for value in message.headers.values())
