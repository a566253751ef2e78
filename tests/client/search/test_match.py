"""What match needs, what it refuses, and which Mailbox and moment a search means."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from veredus.client.errors import NotFetchedError
from veredus.client.search import (
    Context,
    Mailboxes,
    SearchError,
    UnknownMailbox,
    get_arguments,
    match,
    names_mailboxes,
    needed_properties,
    parse,
    require_decidable,
    to_filter,
)

NOW = datetime(2026, 3, 31, 12, 0, 0, 900_000, tzinfo=UTC)
BOXES = [
    {"id": "m1", "name": "Posteingang", "role": "inbox", "parentId": None},
    {"id": "m2", "name": "Work", "role": None, "parentId": None},
    {"id": "m3", "name": "Invoices", "role": None, "parentId": "m2"},
    {"id": "m4", "name": "Home", "role": None, "parentId": None},
    {"id": "m5", "name": "Invoices", "role": None, "parentId": "m4"},
    {"id": "m6", "name": "work", "role": None, "parentId": None},
    {"id": "m7", "name": "A/B", "role": None, "parentId": "m1"},
]
CONTEXT = Context(Mailboxes(BOXES), NOW)


@pytest.mark.parametrize(
    ("wanted", "id"),
    [
        ("inbox", "m1"),
        ("INBOX", "m1"),
        ("posteingang", "m1"),
        ("Work", "m2"),
        ("work", "m6"),
        ("Work/Invoices", "m3"),
        ("home/invoices", "m5"),
        ("A/B", "m7"),
        ("m7", "m7"),
    ],
)
def test_in_means_a_role_or_path_or_name_or_id(wanted: str, id: str) -> None:
    assert CONTEXT.mailboxes.find(wanted) == id


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ("Invoices", "may be 'Home/Invoices' or 'Work/Invoices'"),
        ("WORK", "may be 'Work' or 'work'"),
        ("inbx", "did you mean 'inbox'"),
        ("zzzzzzzz", "there are inbox, A"),
    ],
)
def test_a_mailbox_that_is_not_one_is_an_error(wanted: str, what: str) -> None:
    boxes = [{**BOXES[6], "parentId": None}, *BOXES[:6]]
    with pytest.raises(UnknownMailbox, match=what):
        Mailboxes(boxes).find(wanted)


def test_mailboxes_in_a_circle_end() -> None:
    boxes = [{"id": "a", "name": "A", "parentId": "b"}, {"id": "b", "name": "B", "parentId": "a"}]
    assert Mailboxes(boxes).find("B/A") == "a"


@pytest.mark.parametrize(
    ("search", "after"),
    [
        ("newer:1h", "2026-03-31T11:00:00Z"),
        ("newer:1d", "2026-03-30T12:00:00Z"),
        ("newer:2w", "2026-03-17T12:00:00Z"),
        ("newer:1m", "2026-02-28T12:00:00Z"),
        ("newer:3m", "2025-12-31T12:00:00Z"),
        ("newer:2y", "2024-03-31T12:00:00Z"),
        ("newer:9999y", "0001-01-01T00:00:00Z"),
        ("newer:99999w", "0109-"),
    ],
)
def test_so_long_ago_is_a_moment_of_the_calendar(search: str, after: str) -> None:
    assert to_filter(parse(search), CONTEXT)["after"].startswith(after)


def test_a_day_begins_where_the_searcher_is() -> None:
    east = Context(Mailboxes(), NOW, zone=timezone(timedelta(hours=9)))
    assert to_filter(parse("on:2026-05-04"), east) == {
        "after": "2026-05-03T15:00:00Z",
        "before": "2026-05-04T15:00:00Z",
    }
    # In Berlin that day had 23 hours.
    berlin = Context(Mailboxes(), NOW, zone=ZoneInfo("Europe/Berlin"))
    assert to_filter(parse("on:2026-03-29"), berlin) == {
        "after": "2026-03-28T23:00:00Z",
        "before": "2026-03-29T22:00:00Z",
    }


@pytest.mark.parametrize(
    ("received", "found"),
    [
        ("2026-05-04T10:00:00Z", True),
        ("2026-05-04T10:00:00.5Z", True),
        ("2026-05-04T09:59:59.999Z", False),
    ],
)
def test_a_fraction_of_a_second_is_after_its_second(received: str, found: bool) -> None:
    assert match(parse("after:2026-05-04T10:00:00Z"), {"receivedAt": received}, CONTEXT) is found


@pytest.mark.parametrize(
    ("search", "properties"),
    [
        ("", set()),
        ("from:a -to:@b.c", {"from", "to"}),
        ("is:unread in:inbox", {"keywords", "mailboxIds"}),
        ("larger:1 newer:1d has:attachment", {"size", "receivedAt", "hasAttachment"}),
        ("list:a.b header:X-A:b", {"header:List-Id:asRaw:all", "header:X-A:asRaw:all"}),
        ("body:a", {"bodyValues", "textBody", "attachments"}),
        ("a", {"from", "to", "cc", "bcc", "subject", "bodyValues", "textBody", "attachments"}),
    ],
)
def test_a_property_that_is_needed_and_absent_is_an_error(search: str, properties: set[str]) -> None:
    node = parse(search)
    assert needed_properties(node) == properties
    assert get_arguments(node).get("fetchAllBodyValues", False) == ("bodyValues" in properties)
    if properties:
        with pytest.raises(NotFetchedError):
            match(node, {}, CONTEXT)


def test_a_body_without_its_values_is_an_error_and_not_an_empty_one() -> None:
    part = {"partId": "1", "type": "text/plain", "name": None}
    email: dict[str, Any] = {"textBody": [part], "attachments": [], "bodyValues": {}}
    with pytest.raises(NotFetchedError, match="bodyValues/1"):
        match(parse("body:a"), email, CONTEXT)
    assert match(parse("body:a"), email | {"bodyValues": {"1": {"value": "A."}}}, CONTEXT)


@pytest.mark.parametrize(("search", "what"), [("a", "in the body"), ("body:a", "in the body")])
def test_without_the_body_a_search_in_it_is_refused(search: str, what: str) -> None:
    node = parse(f"subject:x OR -{search}")
    with pytest.raises(SearchError, match=what):
        require_decidable(node, with_body=False)
    require_decidable(node, with_body=True)


def test_one_email_does_not_tell_of_its_thread() -> None:
    node = parse("thread:flagged")
    with pytest.raises(SearchError, match="for the server"):
        require_decidable(node, with_body=True)
    with pytest.raises(SearchError, match="for the server"):
        match(node, {}, CONTEXT)


@pytest.mark.parametrize(("search", "names"), [("a is:read", False), ("a OR -(b in:c)", True)])
def test_only_in_needs_the_mailboxes(search: str, names: bool) -> None:
    assert names_mailboxes(parse(search)) is names


def test_keywords_have_no_case_whatever_the_server_sends() -> None:
    email: dict[str, Any] = {"keywords": {"$Seen": True}}
    assert match(parse("is:read"), email, CONTEXT)
