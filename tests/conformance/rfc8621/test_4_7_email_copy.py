"""RFC 8621 §4.7: Email/copy."""

from typing import Any

import pytest

from jmap import Jmap, message, new_user
from veredus.app import App

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.7")


async def copy(jmap: Jmap, second: Jmap, create: Any, **more: Any) -> list[Any]:
    """The responses to one copy from the first into the second account."""
    args = {"fromAccountId": jmap.account, "create": create, **more}
    return await second.responses(("Email/copy", args))


@must
async def test_a_copy_is_the_message_with_the_metadata_given(jmap: Jmap, second: Jmap) -> None:
    inbox = await second.mailbox("inbox")
    email = await jmap.import_email(
        message("Hello"), keywords={"work": True}, receivedAt="2024-01-01T00:00:00Z"
    )
    state = await second.state("Email")
    same = {"id": email["id"], "mailboxIds": {inbox: True}}
    other = {**same, "keywords": {"$Draft": True}, "receivedAt": "2025-05-05T00:00:00Z"}
    [[name, response, _]] = await copy(jmap, second, {"same": same, "other": other})
    assert name == "Email/copy"
    assert (response["fromAccountId"], response["accountId"]) == (jmap.account, second.account)
    assert (response["oldState"], response["newState"]) == (state, await second.state("Email"))
    assert response["notCreated"] is None
    for key, keywords, at in (("same", {"work": True}, "2024"), ("other", {"$draft": True}, "2025")):
        made = response["created"][key]
        assert set(made) == {"id", "blobId", "threadId", "size"}
        copied = await second.get("Email", made["id"])
        assert (copied["keywords"], copied["receivedAt"][:4], copied["subject"]) == (keywords, at, "Hello")
        assert copied["blobId"] == email["blobId"]
        assert copied["size"] == email["size"]
    assert (await second.get("Mailbox", inbox))["totalEmails"] == 2
    assert len(await second.query("Email", filter={"text": "hello"})) == 2
    # The original stays as it is.
    assert (await jmap.get("Email", email["id"]))["keywords"] == {"work": True}


@must
@pytest.mark.parametrize(
    ("more", "bad"),
    [
        ({"subject": "Another"}, ["subject"]),
        ({"colour": "red"}, ["colour"]),
        ({"threadId": "t1"}, ["threadId"]),
        ({"keywords": {"a b": True}}, ["keywords"]),
        ({"receivedAt": "soon"}, ["receivedAt"]),
        ({"mailboxIds": {}}, ["mailboxIds"]),
        ({"mailboxIds": {"nowhere": True}}, ["mailboxIds"]),
        ({"mailboxIds": None}, ["mailboxIds"]),
    ],
)
async def test_nothing_else_may_be_given(
    jmap: Jmap, second: Jmap, more: dict[str, Any], bad: list[str]
) -> None:
    email = await jmap.import_email(message())
    create = {"k": {"id": email["id"], "mailboxIds": {await second.mailbox("inbox"): True}, **more}}
    [[_, response, _]] = await copy(jmap, second, create)
    error = response["notCreated"]["k"]
    assert (error["type"], error["properties"]) == ("invalidProperties", bad)
    assert await second.query("Email") == []


@must
async def test_mailboxes_of_the_other_account_do_not_do(jmap: Jmap, second: Jmap) -> None:
    email = await jmap.import_email(message())
    [[_, response, _]] = await copy(jmap, second, {"k": {"id": email["id"]}})
    assert response["notCreated"]["k"]["properties"] == ["mailboxIds"]


@must
async def test_the_original_is_destroyed_when_asked(jmap: Jmap, second: Jmap) -> None:
    """The last example of §4.10."""
    box = {"mailboxIds": {await second.mailbox("inbox"): True}}
    email = await jmap.import_email(message())
    create = {"k45": {"id": email["id"], **box}, "bad": {"id": "nothing", **box}}
    responses = await copy(jmap, second, create, onSuccessDestroyOriginal=True)
    assert [(name, id) for name, _, id in responses] == [("Email/copy", "0"), ("Email/set", "0")]
    assert responses[0][1]["notCreated"]["bad"]["type"] == "notFound"
    implicit = responses[1][1]
    assert (implicit["accountId"], implicit["destroyed"]) == (jmap.account, [email["id"]])
    assert await jmap.query("Email") == []


@must
async def test_nothing_is_destroyed_when_nothing_was_copied(jmap: Jmap, second: Jmap) -> None:
    responses = await copy(jmap, second, {"k": {"id": "nothing"}}, onSuccessDestroyOriginal=True)
    assert [name for name, _, _ in responses] == ["Email/copy"]


@must
async def test_states_are_compared(jmap: Jmap, second: Jmap) -> None:
    email = await jmap.import_email(message())
    create = {"k": {"id": email["id"], "mailboxIds": {await second.mailbox("inbox"): True}}}
    for argument in ("ifFromInState", "ifInState"):
        [[name, error, _]] = await copy(jmap, second, create, **{argument: "other"})
        assert (name, error["type"]) == ("error", "stateMismatch")
    assert await second.query("Email") == []
    right = {"ifFromInState": await jmap.state("Email"), "ifInState": await second.state("Email")}
    [_, [name, error, _]] = await copy(
        jmap, second, create, onSuccessDestroyOriginal=True, destroyFromIfInState="other", **right
    )
    assert (name, error["type"]) == ("error", "stateMismatch")
    assert await jmap.query("Email") == [email["id"]]


@must
async def test_accounts_must_be_two_that_one_may_use(app: App, jmap: Jmap, second: Jmap) -> None:
    stranger = await new_user(app, "stranger@example.com")
    for source, error in ((jmap.account, "invalidArguments"), (stranger.account, "fromAccountNotFound")):
        found = await jmap.error("Email/copy", fromAccountId=source, create={})
        assert found["type"] == error
    found = await jmap.error("Email/copy", accountId=stranger.account, fromAccountId=jmap.account, create={})
    assert found["type"] == "accountNotFound"


@must
async def test_from_a_read_only_account_copies_can_be_made(app: App, jmap: Jmap, reader: Jmap) -> None:
    email = await jmap.import_email(message())
    own = Jmap(
        app, reader.identity.user, next(a.id for a in await app.directory.accounts(reader.identity.user))
    )
    create = {"k": {"id": email["id"], "mailboxIds": {await own.mailbox("inbox"): True}}}
    responses = await copy(jmap, own, create, onSuccessDestroyOriginal=True)
    assert responses[0][1]["created"]["k"]["size"] == email["size"]
    assert responses[1][:2] == ["error", {"type": "accountReadOnly"}]
    found = await reader.error("Email/copy", fromAccountId=own.account, create={})
    assert found["type"] == "accountReadOnly"
