"""DestroyedEmail and RetentionRule, extensions of our own (docs/undelete.md), over JMAP."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jmap import STORES, Jmap, message, new_user, open_server
from veredus.app import App, open_app
from veredus.config.kinds import Duration
from veredus.config.mail_settings import Retention as RetentionSettings
from veredus.config.settings import Blobs, Config, Quota, Storage
from veredus.leases import hold
from veredus.mail.audit import audit
from veredus.mail.retention import Retention
from veredus.mail.undelete import Undelete
from veredus.maintenance import Maintenance

UNDELETE = "urn:veredus:jmap:undelete"
RETENTION = "urn:veredus:jmap:retention"
WEEK = timedelta(days=7)


def use(user: Jmap) -> Jmap:
    user.using += [UNDELETE, RETENTION]
    return user


@pytest.fixture
async def alice(jmap: Jmap) -> Jmap:
    return use(jmap)


@pytest.fixture(params=STORES)
async def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Jmap]:
    """A user of each store, the one in memory too."""
    async with open_server(request.param, tmp_path) as app:
        yield use(await new_user(app))


async def destroyed(user: Jmap, subject: str = "Hello", **more: Any) -> tuple[Any, Any]:
    """An Email as it was, and the DestroyedEmail that it has become."""
    made = await user.import_email(message(subject), **more)
    email = await user.get("Email", made["id"])
    before = await user.state("DestroyedEmail")
    await user.set("Email", destroy=[email["id"]])
    changes = await user.call("DestroyedEmail/changes", sinceState=before)
    [id] = changes["created"]
    return email, await user.get("DestroyedEmail", id)


async def restore(user: Jmap, *ids: str, **args: Any) -> Any:
    return await user.call("DestroyedEmail/restore", ids=list(ids), **args)


async def consistent(user: Jmap) -> None:
    """Counters, Threads and quota agree with the Emails."""
    async with user.app.store.read(user.account) as snapshot:
        assert [line async for line in audit(snapshot)] == []


class Clock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


async def maintain(app: App, *, later: timedelta, life: timedelta = WEEK) -> None:
    """A round of maintenance as it will be after that time."""
    clock = Clock()
    clock.time += later
    kept = Undelete(app.admission, life)
    upkeep = Retention(app.store, kept, app.admission.charge).round
    assert await Maintenance(app.store, app.blobs, clock, upkeep).round() is not None


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


async def test_who_may_only_read_restores_nothing(alice: Jmap, reader: Jmap) -> None:
    _, kept = await destroyed(alice)
    assert (await use(reader).error("DestroyedEmail/restore", ids=[kept["id"]]))["type"] == "accountReadOnly"
    assert await reader.query("DestroyedEmail") == [kept["id"]]


async def test_it_is_known_to_whom_uses_the_capability(jmap: Jmap) -> None:
    assert (await jmap.error("DestroyedEmail/query"))["type"] == "unknownMethod"


async def test_too_many_at_once_are_refused(alice: Jmap) -> None:
    many = [f"d{n}" for n in range(1001)]
    assert (await alice.error("DestroyedEmail/restore", ids=many))["type"] == "requestTooLarge"


async def test_nothing_is_kept_when_it_is_turned_off(tmp_path: Path) -> None:
    config = Config(
        hostname="mail.example.com",
        data_dir=tmp_path,
        storage=Storage(url="memory"),
        blobs=Blobs(url="memory"),
        retention=RetentionSettings(destroyed=Duration(0)),
    )
    async with open_app(config, types=[]) as app:
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


# ---------------------------------------------------------------- rules


async def test_a_rule_takes_out_what_stays_too_long(anywhere: Jmap) -> None:
    app = anywhere.app
    inbox, archive = await anywhere.mailbox("inbox"), await anywhere.mailbox("archive")
    rule = await anywhere.create("RetentionRule", mailboxId=archive, days=30)
    old = {"receivedAt": "2001-01-01T00:00:00Z"}
    alone = await anywhere.import_email(message("alone"), archive, **old)
    both = await anywhere.import_email(message("both"), mailboxIds={archive: True, inbox: True}, **old)
    other = await anywhere.import_email(message("other"), inbox, **old)
    await maintain(app, later=timedelta(0))
    late = await anywhere.import_email(message("late"), archive)
    await maintain(app, later=timedelta(days=29))
    assert len(await anywhere.query("Email")) == 4
    await maintain(app, later=timedelta(days=31), life=timedelta(days=60))
    assert set(await anywhere.query("Email")) == {both["id"], other["id"], late["id"]}
    assert (await anywhere.get("Email", both["id"]))["mailboxIds"] == {inbox: True}
    [kept] = await anywhere.query("DestroyedEmail")
    assert (await anywhere.get("DestroyedEmail", kept))["emailId"] == alone["id"]
    await consistent(anywhere)
    await anywhere.set("RetentionRule", destroy=[rule["id"]])
    await maintain(app, later=timedelta(days=90), life=timedelta(days=600))
    async with app.store.read(anywhere.account) as snapshot:
        assert await snapshot.get("RetentionFound", None) == []
    assert late["id"] in await anywhere.query("Email")


async def test_who_comes_back_to_a_mailbox_begins_anew(alice: Jmap) -> None:
    app = alice.app
    trash = await alice.mailbox("trash")
    await alice.create("RetentionRule", mailboxId=trash, days=30)
    made = await alice.import_email(message(), trash)
    await maintain(app, later=timedelta(0))
    await alice.update("Email", made["id"], mailboxIds={await alice.mailbox("inbox"): True})
    await maintain(app, later=timedelta(days=20))
    await alice.update("Email", made["id"], mailboxIds={trash: True})
    await maintain(app, later=timedelta(days=21))
    await maintain(app, later=timedelta(days=40))
    assert await alice.query("Email") == [made["id"]]


async def test_rules_are_checked(alice: Jmap) -> None:
    archive = await alice.mailbox("archive")
    for wrong in (
        {"mailboxId": archive},
        {"mailboxId": archive, "days": 0},
        {"mailboxId": archive, "days": 1.5},
        {"mailboxId": "m-none", "days": 1},
    ):
        assert (await alice.refused("RetentionRule", "create", wrong))["type"] == "invalidProperties"
    made = await alice.create("RetentionRule", mailboxId=archive, days=1)
    assert (await alice.refused("RetentionRule", "create", {"mailboxId": archive, "days": 2}))["type"] in (
        "invalidProperties",
        "alreadyExists",
    )
    await alice.update("RetentionRule", made["id"], days=400)
    folder = (await alice.create("Mailbox", name="F"))["id"]
    rule = await alice.create("RetentionRule", mailboxId=folder, days=1)
    await alice.set("Mailbox", destroy=[folder])
    assert [one["id"] for one in (await alice.call("RetentionRule/get"))["list"]] == [made["id"]]
    assert rule["id"] != made["id"]


async def test_a_rule_that_is_changed_meanwhile_counts_as_it_is_then(alice: Jmap) -> None:
    app = alice.app
    archive = await alice.mailbox("archive")
    rule = await alice.create("RetentionRule", mailboxId=archive, days=1)
    await alice.import_email(message(), archive)
    await maintain(app, later=timedelta(0))
    async with app.store.read(alice.account) as snapshot:
        [stale] = await snapshot.get("RetentionRule", None)
    await alice.update("RetentionRule", rule["id"], days=100)
    retention = Retention(app.store, Undelete(app.admission, WEEK), app.admission.charge)
    async with asyncio.timeout(60), hold(app.store, "maintenance") as lease:
        now = datetime.now(UTC) + timedelta(days=2)
        assert await retention._remove(alice.account, stale, lease, now) == 0
    assert len(await alice.query("Email")) == 1
