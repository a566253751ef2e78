"""RFC 8621 §7: EmailSubmission/get, /changes, /query, /queryChanges; cancelling, destroying, implicit Email/set."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jmap import Jmap, message
from veredus.mail import outbox
from veredus.wire.dates import utc_date

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should


async def draft(jmap: Jmap, **headers: str) -> str:
    """An Email in the drafts."""
    fields = {"Date": "Mon, 6 Jul 2026 10:00:00 +0200", "Message_ID": "<one@example.com>", **headers}
    made = await jmap.import_email(message(**fields), await jmap.mailbox("drafts"), keywords={"$draft": True})
    id: str = made["id"]
    return id


async def wanted(jmap: Jmap, email: str, hold: int | None = None, **envelope: Any) -> dict[str, Any]:
    """The properties of a submission. ``hold``: for so many seconds."""
    identity = (await jmap.call("Identity/get", ids=None))["list"][0]["id"]
    parameters = None if hold is None else {"HOLDFOR": str(hold)}
    return {
        "identityId": identity,
        "emailId": email,
        "envelope": {
            "mailFrom": {"email": "alice@example.com", "parameters": parameters},
            "rcptTo": [{"email": "bob@example.com"}, {"email": "Carol@example.com"}],
        },
    }


async def submit(jmap: Jmap, email: str, hold: int | None = None) -> str:
    id: str = (await jmap.create("EmailSubmission", **await wanted(jmap, email, hold)))["id"]
    return id


async def departures(jmap: Jmap) -> int:
    async with jmap.app.store.read(jmap.account) as snapshot:
        return len(await outbox.load(snapshot, None))


@rfc("8621", "1.3")
@must
async def test_the_submission_capability(sender: Jmap) -> None:
    session = json.loads((await sender.app.engine.session(sender.identity, "http://test"))[0])
    name = "urn:ietf:params:jmap:submission"
    assert session["capabilities"][name] == {}
    assert session["primaryAccounts"][name] == sender.account
    assert session["accounts"][sender.account]["accountCapabilities"][name] == {
        "maxDelayedSend": 30 * 86_400,
        "submissionExtensions": {
            "DSN": [],
            "SIZE": [str(50 * 1024 * 1024)],
            "FUTURERELEASE": [str(30 * 86_400), "9999-12-31T23:59:59Z"],
        },
    }


@rfc("8621", "7.5")
@must
async def test_a_held_message_is_canceled(sender: Jmap) -> None:
    id = await submit(sender, await draft(sender), hold=60)
    state = await sender.state("EmailSubmission")
    assert await departures(sender) == 1
    told = await sender.update("EmailSubmission", id, undoStatus="canceled")
    assert await departures(sender) == 0
    submission = await sender.get("EmailSubmission", id)
    assert submission["undoStatus"] == "canceled"
    assert submission["deliveryStatus"] == told["deliveryStatus"]
    assert {one["delivered"] for one in submission["deliveryStatus"].values()} == {"no"}
    changes = await sender.call("EmailSubmission/changes", sinceState=state)
    assert changes["updated"] == [id]
    # The same again changes nothing.
    assert await sender.update("EmailSubmission", id, undoStatus="canceled") is None
    assert await sender.state("EmailSubmission") == changes["newState"]


@rfc("8621", "7.5")
@must
async def test_what_is_on_its_way_cannotUnsend(sender: Jmap) -> None:
    at_once = await submit(sender, await draft(sender))
    error = await sender.refused("EmailSubmission", "update", (at_once, {"undoStatus": "canceled"}))
    assert error["type"] == "cannotUnsend"
    # The queue was faster than the client that still sees it as pending.
    held = await submit(sender, await draft(sender), hold=60)
    async with sender.app.store.write(sender.account) as tx:
        [departure] = [one for one in await outbox.load(tx, None) if one.submission == held]
        await tx.update(outbox.TYPE, departure.id, {"isHeld": False})
    error = await sender.refused("EmailSubmission", "update", (held, {"undoStatus": "canceled"}))
    assert error["type"] == "cannotUnsend"
    assert (await sender.get("EmailSubmission", held))["undoStatus"] == "pending"
    assert await departures(sender) == 2


@rfc("8621", "7")
@must
async def test_nothing_else_can_be_changed(sender: Jmap) -> None:
    id = await submit(sender, await draft(sender), hold=60)
    email = await draft(sender)
    for name, value in {
        "undoStatus": "final", "identityId": "i1", "emailId": email, "threadId": "t1", "envelope": None,
        "sendAt": "2026-01-01T00:00:00Z", "deliveryStatus": None, "dsnBlobIds": ["B1"], "mdnBlobIds": ["B1"],
        "envelope/mailFrom/email": "bob@example.com",
    }.items():  # fmt: skip
        error = await sender.refused("EmailSubmission", "update", (id, {name: value}))
        assert (error["type"], error["properties"]) == ("invalidProperties", [name.split("/", 1)[0]])
    await sender.update("EmailSubmission", id, undoStatus="canceled")
    error = await sender.refused("EmailSubmission", "update", (id, {"undoStatus": "pending"}))
    assert error["type"] == "invalidProperties"


@rfc("8621", "7.5")
@must
async def test_what_is_destroyed_is_sent_all_the_same(sender: Jmap) -> None:
    email = await draft(sender)
    id = await submit(sender, email, hold=60)
    before = await sender.get("EmailSubmission", id)
    await sender.set("Email", destroy=[email])
    assert await sender.get("EmailSubmission", id) == before
    assert await departures(sender) == 1
    async with sender.app.store.read(sender.account) as snapshot:
        [departure] = await outbox.load(snapshot, None)
    # Nothing collects the message as long as it is to be sent.
    assert await sender.app.store.referenced_blobs([departure.blob_id]) == {departure.blob_id}
    await sender.set("EmailSubmission", destroy=[id])
    assert (await sender.call("EmailSubmission/get", ids=[id]))["notFound"] == [id]
    assert await departures(sender) == 1
    # Created and destroyed by one call, it is sent, too.
    await sender.set(
        "EmailSubmission", create={"k": await wanted(sender, await draft(sender))}, destroy=["#k"]
    )
    assert await departures(sender) == 2


@rfc("8621", "7.5")
@must
async def test_emails_of_what_was_sent_change_with_one_implicit_call(sender: Jmap) -> None:
    drafts, sent = await sender.mailbox("drafts"), await sender.mailbox("sent")
    one, two, three, four = [await draft(sender, Subject=f"{n}") for n in range(4)]
    canceled, destroyed = await submit(sender, two, hold=60), await submit(sender, three)
    move = {f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True, "keywords/$draft": None}
    responses = await sender.responses(
        (
            "EmailSubmission/set",
            {
                "create": {
                    "ok": await wanted(sender, one),
                    "bad": {**await wanted(sender, four), "identityId": "i1"},
                },
                "update": {canceled: {"undoStatus": "canceled"}},
                "destroy": [destroyed],
                "onSuccessUpdateEmail": {
                    "#ok": move,
                    "#bad": move,
                    canceled: {"keywords/$undone": True},
                    "s-unknown": move,
                },
                "onSuccessDestroyEmail": [destroyed, "#bad", "#unknown"],
            },
        ),
        ("Email/get", {"ids": [one, two, three, four], "properties": ["mailboxIds", "keywords"]}),
    )
    assert [(name, id) for name, _, id in responses] == [
        ("EmailSubmission/set", "0"),
        ("Email/set", "0"),
        ("Email/get", "1"),
    ]
    assert set(responses[0][1]["created"]) == {"ok"}
    assert set(responses[0][1]["notCreated"]) == {"bad"}
    implicit = responses[1][1]
    assert (set(implicit["updated"]), implicit["destroyed"]) == ({one, two}, [three])
    emails = {email["id"]: email for email in responses[2][1]["list"]}
    assert (emails[one]["mailboxIds"], emails[one]["keywords"]) == ({sent: True}, {})
    assert emails[two]["keywords"] == {"$draft": True, "$undone": True}
    assert emails[four]["mailboxIds"] == {drafts: True}
    assert responses[2][1]["notFound"] == [three]


@rfc("8621", "7.5.1")
@must
async def test_the_example_of_the_rfc(sender: Jmap) -> None:
    drafts, sent = await sender.mailbox("drafts"), await sender.mailbox("sent")
    email = await draft(sender)
    patch = {f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True, "keywords/$draft": None}
    arguments = {"create": {"k1490": await wanted(sender, email)}, "onSuccessUpdateEmail": {"#k1490": patch}}
    (name, made, id), (implicit, update, same_id) = await sender.responses(("EmailSubmission/set", arguments))
    assert (name, implicit, id) == ("EmailSubmission/set", "Email/set", same_id)
    assert made["oldState"] != made["newState"]
    created = made["created"]["k1490"]
    assert created == {
        "id": created["id"],
        "threadId": (await sender.get("Email", email))["threadId"],
        # The client left out parameters that are null.
        "envelope": {
            "mailFrom": {"email": "alice@example.com", "parameters": None},
            "rcptTo": [
                {"email": "bob@example.com", "parameters": None},
                {"email": "Carol@example.com", "parameters": None},
            ],
        },
        "sendAt": created["sendAt"],
        "undoStatus": "final",
        "deliveryStatus": created["deliveryStatus"],
        "dsnBlobIds": [],
        "mdnBlobIds": [],
    }
    assert update["updated"] == {email: None}
    found = await sender.get("Email", email, properties=["mailboxIds", "keywords"])
    assert found == {"id": email, "mailboxIds": {sent: True}, "keywords": {}}


@rfc("8621", "7.5")
@must
async def test_without_success_there_is_no_implicit_call(sender: Jmap) -> None:
    email = await draft(sender)
    bad = {**await wanted(sender, email), "identityId": "i1"}
    responses = await sender.responses(
        ("EmailSubmission/set", {"create": {"k": bad}, "onSuccessDestroyEmail": ["#k"]}),
        ("EmailSubmission/set", {"onSuccessUpdateEmail": None, "onSuccessDestroyEmail": None}),
    )
    assert [name for name, _, _ in responses] == ["EmailSubmission/set", "EmailSubmission/set"]
    assert (await sender.get("Email", email))["id"] == email


@rfc("8621", "7.5")
async def test_more_emails_than_the_implicit_call_may_change_are_refused_before_anything_leaves(
    sender: Jmap,
) -> None:
    email = await draft(sender)
    create = {"k": await wanted(sender, email)}
    error = await sender.error(
        "EmailSubmission/set",
        create=create,
        onSuccessUpdateEmail={f"s{n}": {} for n in range(600)},
        onSuccessDestroyEmail=[f"s{n}" for n in range(600)],
    )
    assert error["type"] == "requestTooLarge"
    assert await departures(sender) == 0


@rfc("8621", "7.5")
@must
async def test_the_implicit_call_is_part_of_the_submission_capability(sender: Jmap) -> None:
    email = await draft(sender)
    create = {"k": await wanted(sender, email)}
    sender.using = ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:submission"]
    _, implicit = await sender.responses(
        ("EmailSubmission/set", {"create": create, "onSuccessDestroyEmail": ["#k"]})
    )
    assert implicit[1]["destroyed"] == [email]


@rfc("8621", "7.5")
@must
async def test_a_creation_of_an_earlier_call_is_canceled_with_its_email(sender: Jmap) -> None:
    email = await draft(sender)
    *_, implicit = await sender.responses(
        ("EmailSubmission/set", {"create": {"k": await wanted(sender, email, hold=60)}}),
        (
            "EmailSubmission/set",
            {
                "update": {"#k": {"undoStatus": "canceled"}},
                "onSuccessUpdateEmail": {"#k": {"keywords/$x": True}},
            },
        ),
    )
    assert (implicit[0], implicit[1]["updated"], implicit[2]) == ("Email/set", {email: None}, "1")


@rfc("8621", "7.3")
@must
async def test_submissions_are_filtered_and_sorted(sender: Jmap) -> None:
    emails = [await draft(sender, Subject=f"{n}") for n in range(3)]
    threads = [(await sender.get("Email", email))["threadId"] for email in emails]
    ids = [await submit(sender, email, hold) for email, hold in zip(emails, (300, None, 600), strict=True)]
    now, soon, later = ids[1], ids[0], ids[2]
    identity = (await sender.get("EmailSubmission", now))["identityId"]
    at = (await sender.get("EmailSubmission", soon))["sendAt"]
    before = utc_date(datetime.fromisoformat(at) - timedelta(seconds=1))

    async def found(filter: Any) -> list[str]:
        sort = [{"property": "sentAt"}]
        return await sender.query("EmailSubmission", filter=filter, sort=sort)

    assert await found(None) == await found({}) == [now, soon, later]
    assert await found({"identityIds": [identity, "i1"]}) == [now, soon, later]
    assert await found({"identityIds": []}) == await found({"identityIds": ["i1"]}) == []
    assert await found({"emailIds": emails[:2]}) == [now, soon]
    assert await found({"threadIds": [threads[2]]}) == [later]
    assert await found({"undoStatus": "pending"}) == [soon, later]
    assert await found({"undoStatus": "final", "emailIds": [emails[1]]}) == [now]
    assert await found({"undoStatus": "final", "emailIds": [emails[0]]}) == []
    assert await found({"before": at}) == [now]
    assert await found({"after": at}) == [soon, later]
    assert await found({"after": before[:-1] + ".5Z", "before": at[:-1] + ".5Z"}) == [soon]
    assert await found({"operator": "NOT", "conditions": [{"undoStatus": "pending"}]}) == [now]
    for name, order in (("emailId", emails), ("threadId", threads), ("sendAt", None)):
        sort = [{"property": name, "isAscending": False}]
        keys = (
            [later, soon, now]
            if order is None
            else [id for _, id in sorted(zip(order, ids, strict=True))][::-1]
        )
        assert await sender.query("EmailSubmission", sort=sort) == keys
    for wrong in ({"identityIds": "i1"}, {"before": "today"}, {"undoStatus": 1}, {"emailIds": [1]}):
        assert (await sender.error("EmailSubmission/query", filter=wrong))["type"] == "invalidArguments"
    assert (await sender.error("EmailSubmission/query", filter={"to": "x"}))["type"] == "unsupportedFilter"
    assert (await sender.error("EmailSubmission/query", sort=[{"property": "to"}]))["type"] == (
        "unsupportedSort"
    )


@rfc("8621", "7.4")
@must
async def test_a_query_is_kept_up_to_date(sender: Jmap) -> None:
    pending = {"filter": {"undoStatus": "pending"}, "sort": [{"property": "sentAt"}]}
    one, two = [await submit(sender, await draft(sender), hold) for hold in (100, 200)]
    query = await sender.call("EmailSubmission/query", **pending)
    assert (query["ids"], query["canCalculateChanges"]) == ([one, two], True)
    three = await submit(sender, await draft(sender), 150)
    await sender.update("EmailSubmission", one, undoStatus="canceled")
    changes = await sender.call(
        "EmailSubmission/queryChanges", sinceQueryState=query["queryState"], calculateTotal=True, **pending
    )
    assert one in changes["removed"]
    assert {"id": three, "index": 0} in changes["added"]
    assert changes["total"] == 2


@rfc("8621", "7")
@must
async def test_an_email_that_joins_another_thread_leaves_its_submission_as_it_was(sender: Jmap) -> None:
    """A threadId is immutable (§3), so the Email is destroyed and another is there."""
    root = await sender.import_email(message("Plan", Message_ID="<root@x>"))
    await sender.import_email(message("Plan", Message_ID="<b@x>", In_Reply_To="<root@x>"))
    email = await draft(sender, Subject="Plan", Message_ID="<mine@x>")
    id = await submit(sender, email, hold=60)
    before = await sender.get("EmailSubmission", id)
    await sender.import_email(message("Re: Plan", Message_ID="<c@x>", References="<root@x> <mine@x>"))
    assert (await sender.call("Email/get", ids=[email]))["notFound"] == [email]
    assert (await sender.get("Email", root["id"]))["id"] == root["id"]
    assert await sender.get("EmailSubmission", id) == before
    await sender.update("EmailSubmission", id, undoStatus="canceled")


@rfc("8621", "7.1")
@must
async def test_times_are_those_of_the_server(sender: Jmap) -> None:
    id = await submit(sender, await draft(sender))
    found = await sender.call("EmailSubmission/get", ids=[id, "x"], properties=["sendAt", "undoStatus"])
    [submission] = found["list"]
    assert found["notFound"] == ["x"]
    assert set(submission) == {"id", "sendAt", "undoStatus"}
    assert abs(datetime.now(UTC) - datetime.fromisoformat(submission["sendAt"])) < timedelta(minutes=1)
    assert (await sender.error("EmailSubmission/get", ids=[id], properties=["departureId"]))["type"] == (
        "invalidArguments"
    )
