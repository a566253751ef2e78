"""RFC 8621 §4.6, §4.1.1: Email/set, updating and destroying."""

from typing import Any

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.6")


@pytest.fixture
async def email(jmap: Jmap) -> str:
    made = await jmap.import_email(message(), keywords={"$seen": True})
    id: str = made["id"]
    return id


async def keywords(jmap: Jmap, email: str) -> set[str]:
    found: dict[str, bool] = (await jmap.get("Email", email, properties=["keywords"]))["keywords"]
    assert set(found.values()) <= {True}
    return set(found)


@must
async def test_keywords_are_patched(jmap: Jmap, email: str) -> None:
    assert await jmap.update("Email", email, **{"keywords/$flagged": True}) is None
    assert await keywords(jmap, email) == {"$seen", "$flagged"}
    await jmap.update("Email", email, **{"keywords/$seen": None, "keywords/nothing": None})
    assert await keywords(jmap, email) == {"$flagged"}
    await jmap.update("Email", email, keywords={"a": True})
    assert await keywords(jmap, email) == {"a"}
    await jmap.update("Email", email, keywords=None)
    assert await keywords(jmap, email) == set()


@must
async def test_keywords_have_no_case(jmap: Jmap, email: str) -> None:
    await jmap.update("Email", email, **{"keywords/Work": True})
    assert await keywords(jmap, email) == {"$seen", "work"}
    await jmap.update("Email", email, **{"keywords/$SEEN": True})
    assert await keywords(jmap, email) == {"$seen", "work"}
    await jmap.update("Email", email, **{"keywords/$Seen": None})
    assert await keywords(jmap, email) == {"work"}
    told = await jmap.update("Email", email, keywords={"Play": True, "PLAY": True})
    assert told == {"keywords": {"play": True}}
    error = await jmap.refused("Email", "update", (email, {"keywords/a": True, "keywords/A": None}))
    assert error["type"] == "invalidPatch"


@must
@pytest.mark.parametrize(
    "keyword", ["", "a b", "a(", "a)", "a{", "a]", "a%", "a*", 'a"', "a\\", "ä", "x" * 256, "a\x7f"]
)
async def test_bad_keywords_are_refused(jmap: Jmap, email: str, keyword: str) -> None:
    error = await jmap.refused("Email", "update", (email, {"keywords": {keyword: True}}))
    assert (error["type"], error["properties"]) == ("invalidProperties", ["keywords"])


@must
@pytest.mark.parametrize("keyword", ["!", "[", "}", "~", "#", "a/b", "x" * 255, "^_`|'+,-.:;<=>?@"])
async def test_odd_keywords_are_taken(jmap: Jmap, email: str, keyword: str) -> None:
    escaped = keyword.replace("~", "~0").replace("/", "~1")
    await jmap.update("Email", email, **{f"keywords/{escaped}": True})
    assert await keywords(jmap, email) == {"$seen", keyword}
    assert await jmap.query("Email", filter={"hasKeyword": keyword}) == [email]


@must
@pytest.mark.parametrize("value", [False, 1, "yes", {}])
async def test_the_value_of_a_keyword_is_true(jmap: Jmap, email: str, value: Any) -> None:
    error = await jmap.refused("Email", "update", (email, {"keywords/a": value}))
    assert (error["type"], error["properties"]) == ("invalidProperties", ["keywords"])


@must
async def test_emails_move_between_mailboxes(jmap: Jmap, email: str) -> None:
    inbox, archive, trash = [await jmap.mailbox(role) for role in ("inbox", "archive", "trash")]
    await jmap.update("Email", email, **{f"mailboxIds/{archive}": True})
    assert (await jmap.get("Email", email))["mailboxIds"] == {inbox: True, archive: True}
    await jmap.update(
        "Email",
        email,
        **{f"mailboxIds/{archive}": None, f"mailboxIds/{inbox}": None, f"mailboxIds/{trash}": True},
    )
    assert (await jmap.get("Email", email))["mailboxIds"] == {trash: True}
    await jmap.update("Email", email, mailboxIds={inbox: True})
    totals = [(await jmap.get("Mailbox", box))["totalEmails"] for box in (inbox, archive, trash)]
    assert totals == [1, 0, 0]


@must
async def test_an_email_is_always_in_a_mailbox(jmap: Jmap, email: str) -> None:
    inbox = await jmap.mailbox("inbox")
    for patch in (
        {"mailboxIds": {}},
        {"mailboxIds": None},
        {f"mailboxIds/{inbox}": None},
        {"mailboxIds": {"nowhere": True}},
        {"mailboxIds/nowhere": True},
        {f"mailboxIds/{inbox}": False},
        {"mailboxIds/#nothing": True},
    ):
        error = await jmap.refused("Email", "update", (email, patch))
        assert (error["type"], error["properties"]) == ("invalidProperties", ["mailboxIds"]), patch
    assert (await jmap.get("Email", email))["mailboxIds"] == {inbox: True}


@must
@pytest.mark.parametrize(
    "patch",
    [
        {"keywords": {}, "keywords/$seen": True}, {"keywords/a/b": True}, {"from/0/name": "x"}, {"nothing/x": 1},
        {"keywords/a~2": True},
    ],
)  # fmt: skip
async def test_a_patch_must_fit(jmap: Jmap, email: str, patch: dict[str, Any]) -> None:
    error = await jmap.refused("Email", "update", (email, patch))
    assert error["type"] == ("invalidProperties" if "nothing/x" in patch else "invalidPatch")
    assert await keywords(jmap, email) == {"$seen"}


@must
@pytest.mark.parametrize(
    "patch",
    [
        {"subject": "New"}, {"receivedAt": "2020-01-01T00:00:00Z"}, {"size": 1}, {"threadId": "t"}, {"blobId": "B"},
        {"preview": "x"}, {"from": None}, {"bodyStructure": {}}, {"header:Subject": " x"}, {"id": "other"},
        {"headers": []}, {"textBody": []}, {"bodyValues": {"1": {"value": "x"}}}, {"threadKeys": []},
    ],
)  # fmt: skip
async def test_a_message_does_not_change(jmap: Jmap, email: str, patch: dict[str, Any]) -> None:
    before = await jmap.get("Email", email)
    error = await jmap.refused("Email", "update", (email, {**patch, "keywords/a": True}))
    assert (error["type"], error["properties"]) == ("invalidProperties", list(patch))
    assert await jmap.get("Email", email) == before


@must
async def test_the_whole_object_is_a_patch(jmap: Jmap, email: str) -> None:
    whole = await jmap.get("Email", email)
    whole["keywords"] = {"new": True}
    await jmap.update("Email", email, **whole)
    assert await keywords(jmap, email) == {"new"}


@must
async def test_what_changes_nothing_has_no_new_state(jmap: Jmap, email: str) -> None:
    state = await jmap.state("Email")
    await jmap.update("Email", email, **{"keywords/$seen": True})
    assert await jmap.state("Email") == state


@must
async def test_emails_are_destroyed_everywhere(jmap: Jmap, email: str) -> None:
    archive = await jmap.mailbox("archive")
    await jmap.update("Email", email, **{f"mailboxIds/{archive}": True})
    done = await jmap.call("Email/set", destroy=[email, email, "nothing"])
    assert done["destroyed"] == [email]
    assert set(done["notDestroyed"]) == {"nothing"}
    for role in ("inbox", "archive"):
        counted = await jmap.get("Mailbox", await jmap.mailbox(role))
        assert (counted["totalEmails"], counted["totalThreads"]) == (0, 0)
    assert (await jmap.call("Email/get", ids=[email]))["notFound"] == [email]


@must
async def test_updating_what_is_destroyed_is_refused(jmap: Jmap, email: str) -> None:
    done = await jmap.call("Email/set", update={email: {"keywords": {}}}, destroy=[email])
    assert done["notUpdated"][email]["type"] == "willDestroy"
    assert done["destroyed"] == [email]


@must
async def test_a_reader_changes_nothing(reader: Jmap, email: str) -> None:
    for method, args in (
        ("Email/set", {"update": {email: {"keywords": {}}}}),
        ("Email/import", {"emails": {}}),
        ("Email/copy", {"fromAccountId": "x", "create": {}}),
    ):
        assert (await reader.error(method, **args))["type"] == "accountReadOnly"
    assert (await reader.get("Email", email))["keywords"] == {"$seen": True}
