"""DestroyedEmail, an extension of our own (docs/undelete.md), over JMAP."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jmap import Jmap, message, new_user, open_server
from kept import WEEK, consistent, destroyed, maintain, restore, use
from veredus.app import App
from veredus.config.kinds import Duration
from veredus.config.mail_settings import Retention as RetentionSettings
from veredus.config.settings import Quota

# ---------------------------------------------------------------- destroyed and restored


async def test_a_destroyed_email_comes_back_as_it_was(anywhere: Jmap) -> None:
    keywords = {"$seen": True, "mine": True}
    places = {await anywhere.mailbox("inbox"): True, await anywhere.mailbox("archive"): True}
    email, kept = await destroyed(
        anywhere, keywords=keywords, mailboxIds=places, receivedAt="2020-01-02T03:04:05Z"
    )
    assert {name: kept[name] for name in ("emailId", "mailboxIds", "keywords", "subject", "from")} == {
        "emailId": email["id"],
        "mailboxIds": places,
        "keywords": keywords,
        "subject": "Hello",
        "from": email["from"],
    }
    assert datetime.fromisoformat(kept["keptUntil"]) - datetime.fromisoformat(kept["destroyedAt"]) == WEEK
    answer = await restore(anywhere, kept["id"])
    assert answer["notRestored"] is None
    again = await anywhere.get("Email", answer["restored"][kept["id"]])
    assert again["id"] != email["id"]
    same = {name: value for name, value in email.items() if name not in ("id", "threadId")}
    assert {name: again[name] for name in same} == same
    assert await anywhere.query("Email", filter={"text": "hello"}) == [again["id"]]
    assert await anywhere.query("DestroyedEmail") == []
    await consistent(anywhere)


async def test_a_restored_email_finds_its_thread(alice: Jmap) -> None:
    first = await alice.import_email(message(Message_ID="<1@x.example>"))
    reply = await alice.import_email(
        message("Re: Hello", Message_ID="<2@x.example>", References="<1@x.example>")
    )
    assert reply["threadId"] == first["threadId"]
    await alice.set("Email", destroy=[first["id"]])
    [id] = await alice.query("DestroyedEmail")
    new = (await restore(alice, id))["restored"][id]
    assert (await alice.get("Email", new))["threadId"] == reply["threadId"]
    assert set((await alice.get("Thread", reply["threadId"]))["emailIds"]) == {new, reply["id"]}


async def test_several_by_a_result_reference(alice: Jmap) -> None:
    ids = [(await alice.import_email(message(f"Mail {n}")))["id"] for n in range(3)]
    await alice.set("Email", destroy=ids)
    responses = await alice.responses(
        ("DestroyedEmail/query", {"filter": {"after": "2020-01-01T00:00:00Z"}}),
        (
            "DestroyedEmail/restore",
            {"#ids": {"resultOf": "0", "name": "DestroyedEmail/query", "path": "/ids"}},
        ),
    )
    assert len(responses[1][1]["restored"]) == 3
    assert len(await alice.query("Email")) == 3


async def test_what_went_with_a_mailbox_goes_to_the_inbox(alice: Jmap) -> None:
    folder = (await alice.create("Mailbox", name="Folder"))["id"]
    await alice.import_email(message("gone"), folder)
    both = await alice.import_email(
        message("stays"), mailboxIds={folder: True, await alice.mailbox("inbox"): True}
    )
    draft = await alice.import_email(message("draft"), folder, keywords={"$draft": True})
    await alice.set("Mailbox", destroy=[folder], onDestroyRemoveEmails=True)
    assert await alice.query("Email") == [both["id"]]
    kept = {
        (await alice.get("DestroyedEmail", id))["emailId"]: id for id in await alice.query("DestroyedEmail")
    }
    # A draft, too: nobody saved another in its place.
    assert draft["id"] in kept
    assert len(kept) == 2
    answer = await restore(alice, *kept.values())
    for id in answer["restored"].values():
        assert (await alice.get("Email", id, properties=["mailboxIds"]))["mailboxIds"] == {
            await alice.mailbox("inbox"): True
        }
    await consistent(alice)


async def test_into_another_mailbox(alice: Jmap) -> None:
    _, kept = await destroyed(alice)
    responses = await alice.request(
        ["Mailbox/set", {"accountId": alice.account, "create": {"m": {"name": "Rescued"}}}, "0"],
        [
            "DestroyedEmail/restore",
            {"accountId": alice.account, "ids": [kept["id"]], "mailboxIds": {"#m": True}},
            "1",
        ],
    )
    mailbox = responses["methodResponses"][0][1]["created"]["m"]["id"]
    [email] = responses["methodResponses"][1][1]["restored"].values()
    assert (await alice.get("Email", email))["mailboxIds"] == {mailbox: True}


@pytest.mark.parametrize("mailboxes", [{}, {"m-none": True}])
async def test_a_wrong_mailbox_restores_nothing(alice: Jmap, mailboxes: dict[str, bool]) -> None:
    _, kept = await destroyed(alice)
    answer = await restore(alice, kept["id"], "d-none", mailboxIds=mailboxes)
    assert answer["restored"] is None
    assert {id: error["type"] for id, error in answer["notRestored"].items()} == {
        kept["id"]: "invalidProperties",
        "d-none": "notFound",
    }
    assert answer["newState"] == answer["oldState"]
    assert await alice.query("DestroyedEmail") == [kept["id"]]
    await consistent(alice)


async def test_one_of_two_copies_moved_to_another_account(app: App, alice: Jmap, second: Jmap) -> None:
    made = await second.import_email(message())
    arguments = {
        "fromAccountId": second.account,
        "create": {"c": {"id": made["id"], "mailboxIds": {await alice.mailbox("inbox"): True}}},
        "onSuccessDestroyOriginal": True,
    }
    await alice.call("Email/copy", **arguments)
    assert len(await use(second).query("DestroyedEmail")) == 1
    assert await alice.query("DestroyedEmail") == []


async def test_updated_and_destroyed_by_one_call(alice: Jmap) -> None:
    made = await alice.import_email(message())
    arguments = {
        "accountId": alice.account,
        "update": {made["id"]: {"keywords/mine": True}},
        "destroy": ["#e"],
    }
    response = await alice.request(["Email/set", arguments, "0"], createdIds={"e": made["id"]})
    assert response["methodResponses"][0][1]["destroyed"] == [made["id"]], response
    [id] = await alice.query("DestroyedEmail")
    assert (await alice.get("DestroyedEmail", id))["keywords"] == {"mine": True}
    assert (await restore(alice, id))["notRestored"] is None


async def test_a_draft_that_is_replaced_is_not_kept(alice: Jmap) -> None:
    made = await alice.import_email(message(), keywords={"$draft": True})
    await alice.set("Email", destroy=[made["id"]])
    assert await alice.query("DestroyedEmail") == []


async def test_what_is_restored_is_charged_and_what_is_kept_is_not(store: str, tmp_path: Path) -> None:
    data = message(body="x" * 1000)
    async with open_server(store, tmp_path, quota=Quota(default_octets=len(data) + 10)) as app:
        alice = use(await new_user(app))
        made = await alice.import_email(data)
        await alice.set("Email", destroy=[made["id"]])
        other = await alice.import_email(data.replace(b"Hello", b"Other"))
        [id] = await alice.query("DestroyedEmail")
        answer = await restore(alice, id)
        assert answer["notRestored"][id]["type"] == "overQuota"
        await alice.set("Email", destroy=[other["id"]])
        assert id in (await restore(alice, id))["restored"]
        await consistent(alice)


# ---------------------------------------------------------------- the standard methods


async def test_filters_and_order(alice: Jmap) -> None:
    _, first = await destroyed(alice, "Invoice of May")
    _, second_ = await destroyed(alice, "Something else")
    later = datetime.fromisoformat(second_["destroyedAt"]) + timedelta(seconds=1)
    end = later.strftime("%Y-%m-%dT%H:%M:%SZ")
    for condition, found in (
        ({"subject": "invoice"}, [first]),
        ({"from": "alice@EXAMPLE"}, [first, second_]),
        ({"from": "bob"}, []),
        ({"inMailbox": await alice.mailbox("inbox")}, [first, second_]),
        ({"inMailbox": await alice.mailbox("trash")}, []),
        ({"before": end}, [first, second_]),
        ({"after": end}, []),
    ):
        ids = await alice.query("DestroyedEmail", filter=condition, sort=[{"property": "destroyedAt"}])
        assert sorted(ids) == sorted(record["id"] for record in found), condition
    assert (await alice.error("DestroyedEmail/query", filter={"before": "yesterday"}))[
        "type"
    ] == "invalidArguments"


async def test_it_is_made_and_changed_by_nobody(alice: Jmap) -> None:
    _, kept = await destroyed(alice)
    assert (await alice.refused("DestroyedEmail", "create", {}))["type"] == "forbidden"
    error = await alice.refused("DestroyedEmail", "update", (kept["id"], {"subject": "x"}))
    assert error["type"] == "invalidProperties"


async def test_to_destroy_it_is_for_good(app: App, alice: Jmap) -> None:
    email, kept = await destroyed(alice)
    await alice.set("DestroyedEmail", destroy=[kept["id"]])
    async with app.store.read(alice.account) as snapshot:
        # Of the upload there is a record yet; of the Email none.
        assert await snapshot.get("DestroyedEmail", None) == []
    answer = await restore(alice, kept["id"])
    assert answer["notRestored"][kept["id"]]["type"] == "notFound"
    assert email["id"] not in await alice.query("Email")


async def test_who_may_only_read_sees_nothing_of_it(alice: Jmap, reader: Jmap) -> None:
    _, kept = await destroyed(alice)
    assert (await use(reader).error("DestroyedEmail/restore", ids=[kept["id"]]))["type"] == "accountReadOnly"
    assert await reader.query("DestroyedEmail") == []
    assert (await reader.call("DestroyedEmail/get", ids=[kept["id"]]))["notFound"] == [kept["id"]]


async def test_it_is_known_to_whom_uses_the_capability(jmap: Jmap) -> None:
    assert (await jmap.error("DestroyedEmail/query"))["type"] == "unknownMethod"


async def test_too_many_at_once_are_refused(alice: Jmap) -> None:
    many = [f"d{n}" for n in range(1001)]
    assert (await alice.error("DestroyedEmail/restore", ids=many))["type"] == "requestTooLarge"


async def test_nothing_is_kept_when_it_is_turned_off(tmp_path: Path) -> None:
    retention = RetentionSettings(destroyed=Duration(0))
    async with open_server("memory", tmp_path, retention=retention) as app:
        alice = use(await new_user(app))
        made = await alice.import_email(message())
        await alice.set("Email", destroy=[made["id"]])
        assert await alice.query("DestroyedEmail") == []


# ---------------------------------------------------------------- maintenance


async def test_a_blob_lives_as_long_as_what_is_kept(anywhere: Jmap) -> None:
    app = anywhere.app
    email, kept = await destroyed(anywhere)
    # Twice: only what two rounds find to be nobody's is deleted.
    for days in (5, 6.9, 6.95):
        await maintain(app, later=timedelta(days=days))
    assert await app.blobs.size(email["blobId"]) is not None
    assert await anywhere.query("DestroyedEmail") == [kept["id"]]
    before = await anywhere.state("DestroyedEmail")
    await maintain(app, later=timedelta(days=7.1))
    assert (await anywhere.call("DestroyedEmail/changes", sinceState=before))["destroyed"] == [kept["id"]]
    assert await app.store.referenced_blobs([email["blobId"]]) == set()


async def test_no_more_is_kept_than_the_mail_may_take(tmp_path: Path) -> None:
    data = message(body="x" * 1000)
    async with open_server("memory", tmp_path, quota=Quota(default_octets=2 * len(data) + 100)) as app:
        alice = use(await new_user(app))
        for n in range(5):
            made = await alice.import_email(data.replace(b"Hello", b"Mail%d" % n))
            await alice.set("Email", destroy=[made["id"]])
        await maintain(app, later=timedelta(0))
        left = [await alice.get("DestroyedEmail", id) for id in await alice.query("DestroyedEmail")]
        assert sorted(kept["subject"] for kept in left) == ["Mail3", "Mail4"]
