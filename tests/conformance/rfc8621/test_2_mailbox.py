"""RFC 8621 §2, §2.1, §2.2: the Mailbox object, Mailbox/get and Mailbox/changes."""

import pytest

from jmap import Jmap, message, new_user
from veredus.app import App

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should

COUNTERS = ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads")


async def counters(jmap: Jmap, mailbox: str) -> tuple[int, ...]:
    found = await jmap.get("Mailbox", mailbox, properties=list(COUNTERS))
    return tuple(found[name] for name in COUNTERS)


def reply(id: str, to: str | None = None) -> bytes:
    more = {"In-Reply-To": f"<{to}@x>"} if to else {}
    return message("Plan", Message_ID=f"<{id}@x>", **more)


@rfc("8621", "2")
@must
async def test_a_mailbox_has_all_properties_and_rights(jmap: Jmap) -> None:
    inbox = await jmap.get("Mailbox", await jmap.mailbox("inbox"))
    rights = inbox.pop("myRights")
    assert set(inbox) == {"id", "name", "parentId", "role", "sortOrder", "isSubscribed", *COUNTERS}
    assert set(rights) == {
        "mayReadItems", "mayAddItems", "mayRemoveItems", "maySetSeen", "maySetKeywords",
        "mayCreateChild", "mayRename", "mayDelete", "maySubmit",
    }  # fmt: skip
    assert all(isinstance(right, bool) for right in rights.values())
    assert inbox["role"] == "inbox"
    assert inbox["parentId"] is None


@rfc("8621", "2")
@must
async def test_rights_of_who_may_only_read_are_to_read(jmap: Jmap, reader: Jmap) -> None:
    rights = (await reader.get("Mailbox", await jmap.mailbox("inbox")))["myRights"]
    assert [name for name, may in rights.items() if may] == ["mayReadItems"]


@rfc("8621", "2")
@must
async def test_emails_and_threads_are_counted(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    await jmap.import_email(reply("a"))
    await jmap.import_email(reply("b", "a"), keywords={"$seen": True})
    await jmap.import_email(reply("other"), keywords={"$draft": True})
    assert await counters(jmap, inbox) == (3, 1, 2, 1)


@rfc("8621", "2")
@must
@pytest.mark.parametrize("keyword", ["$seen", "$draft"])
async def test_seen_and_drafts_are_not_unread(jmap: Jmap, keyword: str) -> None:
    email = await jmap.import_email(reply("a"))
    inbox = await jmap.mailbox("inbox")
    assert await counters(jmap, inbox) == (1, 1, 1, 1)
    await jmap.update("Email", email["id"], **{f"keywords/{keyword}": True})
    assert await counters(jmap, inbox) == (1, 0, 1, 0)
    await jmap.update("Email", email["id"], **{f"keywords/{keyword}": None})
    assert await counters(jmap, inbox) == (1, 1, 1, 1)


@rfc("8621", "2")
@should
async def test_a_thread_is_unread_where_any_of_it_lies(jmap: Jmap) -> None:
    archive = await jmap.mailbox("archive")
    await jmap.import_email(reply("a"), keywords={"$seen": True})
    await jmap.import_email(reply("b", "a"), archive)
    assert await counters(jmap, await jmap.mailbox("inbox")) == (1, 0, 1, 1)
    assert await counters(jmap, archive) == (1, 1, 1, 1)


@rfc("8621", "2")
@should
async def test_unread_in_the_trash_counts_in_the_trash_alone(jmap: Jmap) -> None:
    trash, inbox = await jmap.mailbox("trash"), await jmap.mailbox("inbox")
    await jmap.import_email(reply("a"), trash)
    await jmap.import_email(reply("b", "a"), keywords={"$seen": True})
    # The example of §2.
    assert (await counters(jmap, trash))[3] == 1
    assert (await counters(jmap, inbox))[3] == 0


@rfc("8621", "2")
@should
async def test_unread_outside_the_trash_does_not_count_in_the_trash(jmap: Jmap) -> None:
    trash, inbox = await jmap.mailbox("trash"), await jmap.mailbox("inbox")
    await jmap.import_email(reply("a"), trash, keywords={"$seen": True})
    await jmap.import_email(reply("b", "a"))
    assert (await counters(jmap, trash))[3] == 0
    assert (await counters(jmap, inbox))[3] == 1


@rfc("8621", "2")
@should
async def test_an_email_in_the_trash_and_elsewhere_counts_in_both(jmap: Jmap) -> None:
    trash, inbox = await jmap.mailbox("trash"), await jmap.mailbox("inbox")
    email = await jmap.import_email(reply("a"))
    await jmap.update("Email", email["id"], **{f"mailboxIds/{trash}": True})
    assert (await counters(jmap, trash), await counters(jmap, inbox)) == ((1, 1, 1, 1), (1, 1, 1, 1))


@rfc("8621", "2")
@should
async def test_unread_threads_follow_the_role_of_the_trash(jmap: Jmap) -> None:
    trash, inbox = await jmap.mailbox("trash"), await jmap.mailbox("inbox")
    archive = await jmap.mailbox("archive")
    await jmap.import_email(reply("a"), trash)
    await jmap.import_email(reply("b", "a"), keywords={"$seen": True})
    await jmap.update("Mailbox", trash, role=None)
    assert [(await counters(jmap, box))[3] for box in (trash, inbox)] == [1, 1]
    await jmap.set("Mailbox", update={trash: {"role": "archive"}, archive: {"role": "trash"}})
    assert [(await counters(jmap, box))[3] for box in (trash, inbox)] == [1, 1]
    await jmap.set("Mailbox", update={trash: {"role": "trash"}, archive: {"role": "archive"}})
    assert [(await counters(jmap, box))[3] for box in (trash, inbox)] == [1, 0]


@rfc("8621", "2.1")
@must
async def test_all_mailboxes_are_had_at_once(jmap: Jmap) -> None:
    found = await jmap.call("Mailbox/get", ids=None)
    assert {box["role"] for box in found["list"]} >= {"inbox", "trash", "sent", "drafts"}
    assert found["notFound"] == []


@rfc("8621", "2.1")
@must
async def test_properties_are_those_asked_for(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    found = await jmap.call("Mailbox/get", ids=[inbox, "nowhere"], properties=["name", "myRights"])
    assert [set(box) for box in found["list"]] == [{"id", "name", "myRights"}]
    assert found["notFound"] == ["nowhere"]
    assert (await jmap.error("Mailbox/get", properties=["emails"]))["type"] == "invalidArguments"


@rfc("8621", "2.2")
@must
async def test_when_only_counters_changed_they_are_named(jmap: Jmap) -> None:
    since = await jmap.state("Mailbox")
    await jmap.import_email(reply("a"))
    changes = await jmap.call("Mailbox/changes", sinceState=since)
    inbox = await jmap.mailbox("inbox")
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [inbox], [])
    assert set(changes["updatedProperties"]) <= set(COUNTERS)
    # What the client then fetches is all that is new.
    found = await jmap.get("Mailbox", inbox, properties=changes["updatedProperties"])
    assert found == {"id": inbox, **dict.fromkeys(changes["updatedProperties"], 1)}


@rfc("8621", "2.2")
@must
async def test_when_more_changed_nothing_is_named(jmap: Jmap) -> None:
    since = await jmap.state("Mailbox")
    await jmap.import_email(reply("a"))
    await jmap.update("Mailbox", await jmap.mailbox("archive"), name="Old")
    assert (await jmap.call("Mailbox/changes", sinceState=since))["updatedProperties"] is None
    now = await jmap.state("Mailbox")
    assert (await jmap.call("Mailbox/changes", sinceState=now))["updatedProperties"] is None


@rfc("8621", "2.2")
@must
async def test_the_example_of_the_specification_works(jmap: Jmap) -> None:
    await jmap.import_email(reply("a"))
    since = await jmap.state("Mailbox")
    email = (await jmap.query("Email"))[0]
    await jmap.update("Email", email, **{"keywords/$seen": True})
    account = {"accountId": jmap.account}

    def reference(path: str) -> dict[str, str]:
        return {"resultOf": "0", "name": "Mailbox/changes", "path": path}

    responses = (
        await jmap.request(
            ["Mailbox/changes", {**account, "sinceState": since}, "0"],
            ["Mailbox/get", {**account, "#ids": reference("/created")}, "1"],
            [
                "Mailbox/get",
                {**account, "#ids": reference("/updated"), "#properties": reference("/updatedProperties")},
                "2",
            ],
        )
    )["methodResponses"]
    assert responses[1][1]["list"] == []
    assert responses[2][1]["list"] == [
        {"id": await jmap.mailbox("inbox"), "unreadEmails": 0, "unreadThreads": 0}
    ]


@rfc("8621", "2.2")
@must
async def test_a_state_that_was_never_given_out_is_refused(jmap: Jmap) -> None:
    for state in ("nonsense", "999999999"):
        assert (await jmap.error("Mailbox/changes", sinceState=state))["type"] == "cannotCalculateChanges"


@rfc("8621", "2")
@must
async def test_what_an_account_may_not_see_does_not_exist(app: App, jmap: Jmap) -> None:
    stranger = await new_user(app, "stranger@example.com")
    error = await stranger.error("Mailbox/get", accountId=jmap.account)
    assert error == await stranger.error("Mailbox/get", accountId="nowhere")
    assert error["type"] == "accountNotFound"
    found = await stranger.call("Mailbox/get", ids=[await jmap.mailbox("inbox")])
    assert found["list"] == []
