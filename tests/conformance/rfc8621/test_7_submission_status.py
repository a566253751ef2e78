"""RFC 8621 §7: what becomes of a submission: deliveryStatus, reports."""

from typing import Any

import pytest

from jmap import Jmap, message
from veredus.mail.submission import status
from veredus.mail.submission.shape import DeliveryStatus

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should


async def submit(jmap: Jmap, message_id: str, hold: int | None = None) -> str:
    """A submission to bob and Carol of an Email with this Message-ID. ``hold``: for so many seconds."""
    identity = (await jmap.call("Identity/get", ids=None))["list"][0]["id"]
    data = message(Date="Mon, 6 Jul 2026 10:00:00 +0200", Message_ID=f"<{message_id}>")
    parameters = None if hold is None else {"HOLDFOR": str(hold)}
    recipients = [{"email": "bob@example.com"}, {"email": "Carol@example.com"}]
    envelope = {"mailFrom": {"email": "alice@example.com", "parameters": parameters}, "rcptTo": recipients}
    made = await jmap.create(
        "EmailSubmission",
        identityId=identity,
        emailId=(await jmap.import_email(data))["id"],
        envelope=envelope,
    )
    id: str = made["id"]
    return id


@rfc("8621", "7")
@should
async def test_fates_become_the_delivery_status(sender: Jmap) -> None:
    id = await submit(sender, "one@example.com", hold=60)
    store, account = sender.app.store, sender.account
    bob, carol = "bob@example.com", "Carol@example.com"

    async def note(**statuses: DeliveryStatus) -> dict[str, Any]:
        by_address = {address.replace("_at_", "@"): status for address, status in statuses.items()}
        async with store.write(account) as tx:
            await status.note_fates(tx, id, by_address)
            # What is gone is not brought back.
            await status.note_fates(tx, "s-destroyed", by_address)
            await status.set_final(tx, "s-destroyed")
        found: dict[str, Any] = (await sender.get("EmailSubmission", id))["deliveryStatus"]
        return found

    state = await sender.state("EmailSubmission")
    late = DeliveryStatus("450 4.2.1 Later", "queued")
    found = await note(**{"bob_at_example.com": late, "nobody_at_example.com": late})
    assert set(found) == {bob, carol}
    assert found[bob] == {"smtpReply": "450 4.2.1 Later", "delivered": "queued", "displayed": "unknown"}
    changes = await sender.call("EmailSubmission/changes", sinceState=state)
    assert changes["updated"] == [id]
    await note(**{"bob_at_example.com": late})
    assert await sender.state("EmailSubmission") == changes["newState"]
    refused = DeliveryStatus("550 5.1.1 No such user", "no")
    await note(
        **{"bob_at_example.com": refused, "Carol_at_example.com": DeliveryStatus("250 2.0.0 Ok", "unknown")}
    )
    found = await note(**{"bob_at_example.com": DeliveryStatus("250 2.0.0 Ok", "unknown")})
    assert (found[bob]["smtpReply"], found[bob]["delivered"]) == ("550 5.1.1 No such user", "no")
    assert found[carol]["delivered"] == "unknown"
    async with store.write(account) as tx:
        await status.set_final(tx, id)
    assert (await sender.get("EmailSubmission", id))["undoStatus"] == "final"


@rfc("8621", "7")
@should
async def test_reports_are_found_kept_and_read(sender: Jmap) -> None:
    store, account = sender.app.store, sender.account
    first = await submit(sender, "one@example.com")
    second = await submit(sender, "one@example.com", hold=60)
    other = await submit(sender, "two@example.com")
    async with store.read(account) as snapshot:
        assert await status.find(snapshot, first, "two@example.com") == first
        assert await status.find(snapshot, None, "two@example.com") == other
        assert await status.find(snapshot, "no id of ours\0", "one@example.com") == second
        assert await status.find(snapshot, None, "three@example.com") is None
        assert await status.find(snapshot, "s1", None) is None
    blobs = [(await sender.app.blobs.put(f"report {n}".encode(), max_size=99)).id for n in range(3)]

    async def report(blob: str, kind: Any, email: str, said: DeliveryStatus) -> Any:
        async with store.write(account) as tx:
            await status.add_report(tx, first, blob, kind, {email: said})
            await status.add_report(tx, "s-destroyed", blob, kind, {email: said})
        return await sender.get("EmailSubmission", first)

    # Relayed says nothing of delivery; the case of the address is the reporting host's.
    found = await report(blobs[0], "dsn", "CAROL@example.com", DeliveryStatus("", "unknown"))
    assert found["deliveryStatus"]["Carol@example.com"]["delivered"] == "queued"
    failed = DeliveryStatus("550 5.2.2 Full", "no")
    found = await report(blobs[1], "dsn", "CAROL@example.com", failed)
    assert found["deliveryStatus"]["Carol@example.com"] == {
        "smtpReply": "550 5.2.2 Full", "delivered": "no", "displayed": "unknown",
    }  # fmt: skip
    state = await sender.state("EmailSubmission")
    await report(blobs[1], "dsn", "bob@example.com", failed)
    assert await sender.state("EmailSubmission") == state
    found = await report(blobs[2], "mdn", "bob@example.com", DeliveryStatus("", "unknown", "yes"))
    assert found["deliveryStatus"]["bob@example.com"] == {
        "smtpReply": "250 2.0.0 Queued", "delivered": "queued", "displayed": "yes",
    }  # fmt: skip
    assert (found["dsnBlobIds"], found["mdnBlobIds"]) == (blobs[:2], blobs[2:])
    # They live as long as the submission, can be downloaded and are found by their ids.
    assert await store.referenced_blobs(blobs) == set(blobs)
    assert await sender.app.engine.download(sender.identity, account, blobs[2]) is not None
    [looked] = (await sender.call("Blob/lookup", typeNames=["EmailSubmission"], ids=blobs[1:2]))["list"]
    assert looked["matchedIds"] == {"EmailSubmission": [first]}
    assert await store.check() == []
    await sender.set("EmailSubmission", destroy=[first])
    assert await store.referenced_blobs(blobs) == set()
    assert await store.check() == []


@rfc("8621", "7.2")
@must
async def test_changes_tell_of_fates_and_destruction(sender: Jmap) -> None:
    since = await sender.state("EmailSubmission")
    kept, gone = [await submit(sender, "one@example.com") for _ in range(2)]
    created = await sender.call("EmailSubmission/changes", sinceState=since)
    assert (created["created"], created["updated"], created["destroyed"]) == ([kept, gone], [], [])
    async with sender.app.store.write(sender.account) as tx:
        await status.note_fates(tx, kept, {"bob@example.com": DeliveryStatus("250 2.1.5 Ok", "yes")})
    await sender.set("EmailSubmission", destroy=[gone])
    changes = await sender.call("EmailSubmission/changes", sinceState=created["newState"])
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([], [kept], [gone])
