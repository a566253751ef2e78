"""RetentionRule, an extension of our own (docs/undelete.md): over JMAP, and what maintenance makes of it."""

import asyncio
from datetime import UTC, datetime, timedelta

from jmap import Jmap, message
from kept import WEEK, consistent, maintain
from veredus.leases import hold
from veredus.mail.retention import Retention
from veredus.mail.undelete import Undelete


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
    for days in (0, 36_601, 2**53):
        refused = await alice.refused("RetentionRule", "update", (made["id"], {"days": days}))
        assert refused["type"] == "invalidProperties"
        assert refused["description"] == "Must be 1 to 36,600."
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
