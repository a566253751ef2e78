"""Messages of JMAP_EVENTS and JMAP_DLQ, what they say changed, and CloudEvents."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import pytest
from jsonschema import Draft202012Validator

from veredus.bridge.wire import extra, schema
from veredus.bridge.wire.change import Change, Source
from veredus.bridge.wire.dead_letter import DeadLetter, dead_letter
from veredus.bridge.wire.event import NotAType, event
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.spill import Spilled, fit
from veredus.bridge.wire.values import NotAnId

AT = datetime(2026, 3, 1, 12, 0, 0, 5, timezone(timedelta(hours=2)))
SOURCE = Source(server="mail.example.com", account_id="a1", account_name="alice@example.com", transport="sse")
EMAIL: dict[str, Any] = {
    "id": "e1",
    "mailboxIds": {"m2": True, "m3": True},
    "keywords": {"$seen": True},
    "subject": "Hallo\r\nWelt",
    "size": 10,
    "bodyValues": {"1": {"value": "secret"}},
}


def change(**members: Any) -> Change:
    plain = {"source": SOURCE, "type": "Email", "op": "created", "id": "e1", "new_state": "s2", "at": AT}
    return Change(**plain | members)


def validated(message: Message) -> Any:
    """The payload, once it is proved to be what the schema it names says."""
    body = json.loads(message.payload)
    Draft202012Validator(schema.load(body["schema"])).validate(body)
    return body


CHANGES = [
    change(after=EMAIL),
    change(op="updated", old_state="s1", before={"keywords": {}}, after=EMAIL),
    change(op="destroyed", old_state="s1", before={"keywords": {"$seen": True}}),
    change(op="snapshot", after=EMAIL),
    change(type="Mailbox", id="m1", after={"id": "m1", "name": "In"}),
    change(type="Mailbox", id="m1", op="updated", changed=("totalEmails",), after={"id": "m1"}),
    change(type="CalendarEvent", id="c1", op="destroyed"),
    change(type="ContactCard", id="c1", op="snapshot", after={"id": "c1"}),
    change(type="Email", op="resync", id=None, old_state="s1"),
]


@pytest.mark.parametrize("one", CHANGES, ids=lambda one: f"{one.type}-{one.op}")
def test_every_event_is_what_its_schema_says(one: Change) -> None:
    message = event("jmap.event", one)
    body = validated(message)
    assert message.subject == f"jmap.event.a1.{one.type.lower()}.{one.op}"
    assert (body["op"], body["type"], body.get("id"), body["newState"]) == (one.op, one.type, one.id, "s2")
    assert body["source"] == {
        "server": "mail.example.com",
        "transport": "sse",
        "snapshot": one.op == "snapshot",
    }
    assert body["at"] == "2026-03-01T10:00:00Z"
    assert b"secret" not in message.payload


@pytest.mark.parametrize("name", schema.names())
def test_every_schema_is_valid_and_named_by_its_file(name: str) -> None:
    loaded = schema.load(name)
    Draft202012Validator.check_schema(loaded)
    assert loaded["$id"] == schema.uri(name)


def test_every_schema_is_used() -> None:
    used = {json.loads(event("p", one).payload)["schema"] for one in CHANGES} | {"email/1", "dead-letter/1"}
    assert used == set(schema.names())


def test_an_unknown_schema_names_the_known_ones() -> None:
    with pytest.raises(schema.UnknownSchema, match=r"no schema 'email/2'; there are .*email\.created/1"):
        schema.load("email/2")


def test_what_changed_in_an_email_is_in_body_and_headers() -> None:
    before = {"mailboxIds": {"m1": True, "m2": True}, "keywords": {"$draft": True, "$old": False}, "size": 10}
    message = event("p", change(op="updated", before=before, after=EMAIL))
    body = validated(message)
    assert body["changed"] == ["keywords", "mailboxIds"]
    assert body["diff"] == {
        "keywords": {"added": ["$seen"], "removed": ["$draft"]},
        "mailboxIds": {"added": ["m3"], "removed": ["m1"]},
    }
    headers = {
        name: value for name, value in message.headers.items() if "Mailbox-" in name or "Keywords-" in name
    }
    assert headers == {
        "Jmap-Mailbox-Ids": "m2,m3",
        "Jmap-Mailbox-Added": "m3",
        "Jmap-Mailbox-Removed": "m1",
        "Jmap-Keywords-Added": "$seen",
        "Jmap-Keywords-Removed": "$draft",
    }
    assert message.headers["Jmap-Changed"] == "keywords,mailboxIds"


def test_a_property_that_was_not_cached_did_not_change() -> None:
    body = validated(event("p", change(op="updated", before={"keywords": {"$seen": True}}, after=EMAIL)))
    assert body["changed"] == []


def test_what_nobody_knows_is_not_said() -> None:
    message = event("p", change(op="updated", after=EMAIL))
    assert not {"changed", "diff", "before"} & validated(message).keys()
    assert "Jmap-Changed" not in message.headers


def test_a_property_that_was_not_fetched_has_no_header() -> None:
    headers = event("p", change(op="updated", after={"id": "e1", "keywords": {}})).headers
    assert not {"Jmap-Size", "Jmap-Has-Attachment", "Jmap-Subject"} & headers.keys()


def test_the_same_change_has_the_same_id_and_another_state_another() -> None:
    first, again = event("p", change()), event("p", change(at=AT + timedelta(days=1)))
    assert first.msg_id == again.msg_id
    assert first.msg_id.startswith("a1/Email/e1/created/")
    assert event("p", change(new_state="s3")).msg_id != first.msg_id
    assert event("p", change(new_state="a/b c\n\ud800")).msg_id.isascii()


@pytest.mark.parametrize("type", ["", "a.b", "*", "E mail", "Ä", "x" * 65])
def test_a_type_that_is_no_token_is_refused(type: str) -> None:
    with pytest.raises(NotAType):
        event("p", change(type=type))


@pytest.mark.parametrize("id", [None, "a.b", ""])
def test_an_event_of_a_record_needs_its_id(id: str | None) -> None:
    with pytest.raises(NotAnId):
        event("p", change(id=id))


def test_cloudevents_attributes_are_complete_and_percent_encoded() -> None:
    source = Source(server="mail.exämple.com", account_id="a1")
    headers = event("p", change(source=source, after=EMAIL)).headers
    attributes = {name[3:]: value for name, value in headers.items() if name.startswith("ce-")}
    assert attributes.pop("id") == event("p", change(source=source)).msg_id
    assert attributes == {
        "specversion": "1.0",
        "source": "jmap://mail.ex%C3%A4mple.com/a1",
        "type": "io.jmap.email.created.v1",
        "subject": "e1",
        "time": "2026-03-01T10:00:00Z",
        "dataschema": "urn:veredus:bridge:email.created:1",
        "datacontenttype": "application/json",
    }


def test_percent_encoding_is_that_of_the_binding() -> None:
    """Its own example (§3.1.3.2), and the three characters of ASCII that it names."""
    source = Source(server='Euro € 😀 "100%"', account_id="a1")
    encoded = extra.cloud_event(change(source=source), "id", "email/1")["ce-source"]
    assert encoded == "jmap://Euro%20%E2%82%AC%20%F0%9F%98%80%20%22100%25%22/a1"
    assert unquote(encoded, errors="strict") == f"jmap://{source.server}/a1"


def test_the_type_of_a_cloudevent_names_the_data_type() -> None:
    types = [event("p", one).headers["ce-type"] for one in CHANGES]
    assert types[:2] == ["io.jmap.email.created.v1", "io.jmap.email.updated.v1"]
    assert types[4:] == [
        "io.jmap.mailbox.created.v1",
        "io.jmap.mailbox.updated.v1",
        "io.jmap.calendarevent.destroyed.v1",
        "io.jmap.contactcard.snapshot.v1",
        "io.jmap.email.resync.v1",
    ]


def test_a_message_of_jmap_email_is_a_cloudevent_without_a_change_of_its_payload() -> None:
    generation = Generation.of("1")
    plain = generation.message("p", "a1", EMAIL, {})
    headers = extra.for_email(change(after=EMAIL), plain.msg_id, {"m2": "inbox"}, "00-0af7-b7-01")
    message = generation.message("p", "a1", EMAIL, {}, extra=headers)
    assert (message.payload, message.subject, message.msg_id) == (plain.payload, plain.subject, plain.msg_id)
    assert message.headers.items() > plain.headers.items()
    assert message.headers["ce-type"] == "io.jmap.email.v1"
    assert message.headers["ce-dataschema"] == "urn:veredus:bridge:email:1"
    assert message.headers["Jmap-Mailbox-Roles"] == "inbox"
    assert message.headers["traceparent"] == "00-0af7-b7-01"


RESULTS = (
    "mx.example.com (spf=pass in a comment); dkim=fail (bad (nested) signature) header.d=x.org;\r\n"
    "\tdkim=pass header.d=y.org; spf=softfail smtp.mailfrom=z; dmarc=NONE"
)


@pytest.mark.parametrize(
    "properties",
    [
        {"headers": [{"name": "authentication-results", "value": RESULTS}, {"name": "List-ID", "value": " Talk <talk.example.org>"}]},
        {"header:Authentication-Results:asText:all": [RESULTS], "header:list-id:asText": "Talk <talk.example.org>"},
        {"header:Authentication-Results:all": [RESULTS, "forged; spf=pass"], "header:List-Id": " <talk.example.org>"},
    ],
    ids=["headers", "asText", "all"],
)  # fmt: skip
def test_verdicts_and_list_are_read_from_whatever_form_was_fetched(properties: dict[str, Any]) -> None:
    facts = extra.email_facts({**properties, "keywords": {"$junk": True}}, {})
    assert facts == {
        "Jmap-List-Id": "talk.example.org",
        "Jmap-Auth": "spf=softfail;dkim=pass;dmarc=none",
        "Jmap-Spam": "true",
    }


def test_a_verdict_that_may_be_the_senders_own_is_not_believed() -> None:
    facts = extra.email_facts({"header:Authentication-Results:asText": "me; spf=pass; dkim=pass"}, {})
    assert facts == {}


def test_mail_in_the_junk_mailbox_is_spam() -> None:
    facts = extra.email_facts({"mailboxIds": {"m1": True}}, {"m1": "junk", "m2": "inbox"})
    assert facts == {"Jmap-Mailbox-Roles": "junk", "Jmap-Spam": "true"}


def test_a_long_hostile_header_is_read_quickly() -> None:
    for text in ("(" * 200_000, "spf=" * 100_000, "( )" * 100_000):
        assert "Jmap-Auth" not in extra.email_facts({"header:Authentication-Results:all": [text]}, {})


def letter(**members: Any) -> DeadLetter:
    plain = {
        "server": "mail.example.com", "account_id": "a1", "type": "Email", "op": "created", "id": "e1",
        "pipeline": "emails", "error_type": "TransportError", "error": "503", "attempts": 5,
        "first_at": AT, "last_at": datetime(2026, 3, 2, tzinfo=UTC), "new_state": "s2",
    }  # fmt: skip
    return DeadLetter(**plain | members)


def test_a_dead_letter_says_what_failed_how_often_and_when() -> None:
    message = dead_letter("jmap.dlq", letter())
    assert message.subject == "jmap.dlq.a1.email"
    body = validated(message)
    assert (body["id"], body["attempts"], body["errorType"], body["error"]) == (
        "e1",
        5,
        "TransportError",
        "503",
    )
    assert (body["firstAt"], body["lastAt"]) == ("2026-03-01T10:00:00Z", "2026-03-02T00:00:00Z")
    assert (message.headers["Jmap-Attempts"], message.headers["Jmap-Pipeline"]) == ("5", "emails")


def test_parking_an_item_again_is_a_duplicate_and_another_item_is_not() -> None:
    first = dead_letter("p", letter()).msg_id
    assert dead_letter("p", letter(attempts=9, error="x")).msg_id == first
    for other in (
        {"id": "e2"},
        {"op": "updated"},
        {"pipeline": "events"},
        {"new_state": "s3"},
        {"type": "Mailbox"},
    ):
        assert dead_letter("p", letter(**other)).msg_id != first


def test_an_item_whose_id_is_the_problem_can_be_parked() -> None:
    message = dead_letter("p", letter(id="bad\r\nid." + "x" * 5000, error="long " * 1000))
    assert validated(message)["id"].startswith("bad\r\nid.")
    assert message.headers["Jmap-Id"].startswith("bad  id.")
    assert message.msg_id.isprintable()


def test_an_event_that_is_too_large_keeps_what_it_is_about() -> None:
    fitted = fit(event("p", change(after=EMAIL | {"preview": "x" * 2_000_000})), 1024 * 1024)
    assert isinstance(fitted, Spilled)
    body = validated(fitted.message)
    assert "after" not in body
    assert (body["op"], body["id"], body["truncated"]) == ("created", "e1", True)
    assert body["objectKey"] == fitted.object_key == f"{fitted.message.msg_id}.json"
    assert json.loads(fitted.payload)["after"]["preview"] == "x" * 2_000_000
