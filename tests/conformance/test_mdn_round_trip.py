"""A receipt on its whole way: asked for, sent, delivered, linked to the submission, and read (RFC 9007)."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jmap import USING, Jmap, new_user
from sending.world import World, world
from waiting import until

MORE = ["urn:ietf:params:jmap:mdn", "urn:ietf:params:jmap:submission"]
DISPOSITION = {"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"}


async def submit(alice: Jmap) -> tuple[str, str]:
    """The Email and the EmailSubmission of a message that asks for a receipt."""
    email = await alice.create(
        "Email",
        **{
            "mailboxIds": {await alice.mailbox("drafts"): True},
            "from": [{"email": "alice@example.com"}],
            "to": [{"email": "bob@example.com"}],
            "header:Disposition-Notification-To:asAddresses": [{"email": "alice@example.com"}],
            "subject": "World domination",
        },
    )
    identity = (await alice.call("Identity/get"))["list"][0]["id"]
    submission = await alice.create("EmailSubmission", emailId=email["id"], identityId=identity)
    return email["id"], submission["id"]


async def arrived(user: Jmap, subject: str) -> str:
    found: list[str] = []

    async def is_there() -> bool:
        found[:] = await user.query(
            "Email", filter={"subject": subject, "inMailbox": await user.mailbox("inbox")}
        )
        return bool(found)

    await until(is_there)
    return found[0]


async def receipt(bob: Jmap, email: str) -> Any:
    identity = (await bob.call("Identity/get"))["list"][0]["id"]
    send = {"m": {"forEmailId": email, "disposition": DISPOSITION}}
    update = {"#m": {"keywords/$mdnsent": True}}
    responses = await bob.responses(
        ("MDN/send", {"identityId": identity, "send": send, "onSuccessUpdateEmail": update})
    )
    return responses[0][1]


@pytest.mark.rfc("9007", "2")
async def test_a_receipt_comes_back_to_the_submission_that_it_is_about(tmp_path: Path) -> None:
    async with world(tmp_path, "local") as it, it.running():
        alice, bob = await users(it)
        # The queue's clock stands still; what leaves by the engine's is due.
        it.advance(seconds=(datetime.now(UTC) - it.clock.now()).total_seconds() + 60)
        email, submission = await submit(alice)
        assert (await receipt(bob, await arrived(bob, "World domination")))["sent"]
        await arrived(alice, "Displayed: World domination")
        sent = await alice.get("EmailSubmission", submission)
        assert sent["deliveryStatus"]["bob@example.com"]["displayed"] == "yes"
        (blob,) = sent["mdnBlobIds"]
        parsed = (await alice.call("MDN/parse", blobIds=[blob]))["parsed"][blob]
        assert (parsed["forEmailId"], parsed["finalRecipient"]) == (email, "rfc822; bob@example.com")
        await it.empty()


async def users(it: World) -> tuple[Jmap, Jmap]:
    alice, bob = it.alice, await new_user(it.app, "bob@example.com")
    alice.using = bob.using = [*USING, *MORE]
    return alice, bob
