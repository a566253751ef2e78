"""RFC 8621 §7, §7.5: what is sent when an EmailSubmission is created, and what is refused."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap, message, new_user, open_server
from veredus.app import App
from veredus.config.kinds import Duration, Size
from veredus.config.mail_settings import Outgoing
from veredus.mail import outbox
from veredus.mail.outbox import Departure
from veredus.ports import Address
from veredus.wire.dates import utc_date

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should

MONDAY = "Mon, 6 Jul 2026 10:00:00 +0200"


async def identity(jmap: Jmap) -> str:
    found: str = (await jmap.call("Identity/get", ids=None))["list"][0]["id"]
    return found


async def draft(jmap: Jmap, **headers: str) -> str:
    """An Email from alice to bob; ``headers``: other ones."""
    data = message(**{"Date": MONDAY, "Message_ID": "<one@example.com>", **headers})
    id: str = (await jmap.import_email(data, keywords={"$draft": True}))["id"]
    return id


def to(*emails: str, sender: str = "alice@example.com", **parameters: str | None) -> dict[str, Any]:
    """An envelope. ``parameters``: of mailFrom."""
    return {
        "mailFrom": {"email": sender, "parameters": parameters or None},
        "rcptTo": [{"email": email, "parameters": None} for email in emails],
    }


async def submit(jmap: Jmap, email: str, **more: Any) -> Any:
    """What the server says of a new EmailSubmission."""
    return await jmap.create("EmailSubmission", identityId=await identity(jmap), emailId=email, **more)


async def refused(jmap: Jmap, email: str, **more: Any) -> Any:
    given = {"identityId": await identity(jmap), "emailId": email, **more}
    return await jmap.refused("EmailSubmission", "create", given)


async def departures(jmap: Jmap) -> list[Departure]:
    async with jmap.app.store.read(jmap.account) as snapshot:
        return await outbox.load(snapshot, None)


@rfc("8621", "7.5")
@must
async def test_an_email_is_sent_with_the_envelope_of_its_header(sender: Jmap) -> None:
    email = await draft(
        sender,
        To="Bob <bob@example.com>, Team: carol@example.com, Bob@EXAMPLE.com;",
        Cc='"Bob again" <bob@Example.com>, dora@example.org',
        Bcc="secret@example.net, carol@example.com",
    )
    before = datetime.now(UTC).replace(microsecond=0)
    made = await submit(sender, email)
    submission = await sender.get("EmailSubmission", made["id"])
    recipients = [
        "bob@example.com", "carol@example.com", "Bob@EXAMPLE.com", "dora@example.org", "secret@example.net",
    ]  # fmt: skip
    assert submission == {
        **made,
        "identityId": await identity(sender),
        "emailId": email,
        "envelope": to(*recipients),
    }
    assert submission["threadId"] == (await sender.get("Email", email))["threadId"]
    assert before <= datetime.fromisoformat(submission["sendAt"]) <= datetime.now(UTC)
    assert submission["undoStatus"] == "final"
    assert (submission["dsnBlobIds"], submission["mdnBlobIds"]) == ([], [])
    queued = {"smtpReply": "250 2.0.0 Queued", "delivered": "queued", "displayed": "unknown"}
    assert submission["deliveryStatus"] == dict.fromkeys(recipients, queued)
    [departure] = await departures(sender)
    assert departure.sender == Address("alice@example.com", {"ENVID": made["id"]})
    assert [address.email for address in departure.recipients] == recipients
    assert departure.blob_id == (await sender.get("Email", email))["blobId"]
    assert (departure.origin, departure.submission, departure.is_held) == ("submission", made["id"], False)


@rfc("8621", "7")
@must
async def test_a_given_envelope_is_kept_and_used(sender: Jmap) -> None:
    email = await draft(sender)
    envelope = {
        "mailFrom": {"email": "Alice+tag@example.com", "parameters": {"ret": "hdrs", "SIZE": "100"}},
        "rcptTo": [
            {"email": "jörg@bücher.example", "parameters": {"Notify": "success,FAILURE"}},
            {"email": '"a b"@example.org', "parameters": {"ORCPT": "rfc822;a+b c@example.org"}},
        ],
    }
    made = await submit(sender, email, envelope=envelope)
    assert "envelope" not in made
    assert (await sender.get("EmailSubmission", made["id"]))["envelope"] == envelope
    [departure] = await departures(sender)
    assert departure.sender == Address("Alice+tag@example.com", {"RET": "HDRS", "ENVID": made["id"]})
    assert departure.recipients == (
        Address("jörg@bücher.example", {"NOTIFY": "SUCCESS,FAILURE"}),
        Address('"a b"@example.org', {"ORCPT": "rfc822;a+b c@example.org"}),
    )


@rfc("8621", "7.5")
@must
async def test_what_is_not_found_is_invalidProperties(app: App, sender: Jmap) -> None:
    email = await draft(sender)
    other = await new_user(app, "bob@example.com")
    foreign = (await other.import_email(message(Date=MONDAY)))["id"]
    for given, bad in (
        ({"identityId": "i", "emailId": email}, ["identityId"]),
        ({"identityId": await identity(sender), "emailId": foreign}, ["emailId"]),
        ({"identityId": "i", "emailId": "e"}, ["identityId", "emailId"]),
        ({"emailId": email}, ["identityId"]),
    ):
        error = await sender.refused("EmailSubmission", "create", given)
        assert (error["type"], error["properties"]) == ("invalidProperties", bad)
    assert await departures(sender) == []


@rfc("8621", "7")
@must
@pytest.mark.parametrize(
    "given",
    [
        {"threadId": "t"},
        {"sendAt": "2026-01-01T00:00:00Z"},
        {"undoStatus": "pending"},
        {"undoStatus": "final"},
        {"deliveryStatus": None},
        {"dsnBlobIds": []},
        {"departureId": "q"},
        {"messageId": "<a@b>"},
        {"envelope": {"mailFrom": {"email": "alice@example.com"}}},
        {"envelope": {**to("bob@example.com"), "colour": "red"}},
        {"envelope": {**to(), "rcptTo": [{"email": "bob@example.com", "parameters": {"NOTIFY": 1}}]}},
    ],
)
async def test_what_a_client_may_not_set_is_refused(sender: Jmap, given: dict[str, Any]) -> None:
    error = await refused(sender, await draft(sender), **given)
    assert (error["type"], error["properties"]) == ("invalidProperties", list(given))


@rfc("8621", "7.5")
@must
@pytest.mark.parametrize(
    ("data", "properties"),
    [
        (b"To: bob@example.com\r\n\r\nx", ["from", "sentAt"]),
        (b"From: nobody\r\nDate: yesterday\r\n\r\nx", ["from", "sentAt"]),
        (
            b"From: alice@example.com\r\nFrom: alice@example.com\r\nSubject: 1\r\nSUBJECT: 2\r\n"
            b"Date: Mon, 6 Jul 2026 10:00:00 +0200\r\n\r\nx",
            ["from", "subject"],
        ),
        (
            b"From: alice@example.com, alice+b@example.com\r\nDate: Mon, 6 Jul 2026 10:00:00 +0200\r\n\r\nx",
            ["from"],
        ),
        (
            b"From: alice@example.com\r\nSender: a@example.com, b@example.com\r\n"
            b"Date: Mon, 6 Jul 2026 10:00:00 +0200\r\n\r\nx",
            ["sender"],
        ),
    ],
)
async def test_an_invalid_message_is_invalidEmail_with_all_its_faults(
    sender: Jmap, data: bytes, properties: list[str]
) -> None:
    email = (await sender.import_email(data))["id"]
    error = await refused(sender, email, envelope=to("bob@example.com"))
    assert (error["type"], error["properties"]) == ("invalidEmail", properties)


@rfc("8621", "7.5")
@must
async def test_the_recipients_are_checked(sender: Jmap) -> None:
    email = await draft(sender, To="Bob, Undisclosed:;, ann@example.com, @", Cc="b@-x.example")
    assert await refused(sender, email) == {
        "type": "invalidRecipients",
        "invalidRecipients": ["Bob", "@", "b@-x.example"],
    }
    bad = [
        "x",
        "a@b@c.example",
        "a b@example.com",
        "a@b.example> SIZE=1",
        "@r.example:a@b.example",
        "postmaster",
    ]
    error = await refused(sender, email, envelope=to("ok@example.com", *bad, "x"))
    assert (error["type"], error["invalidRecipients"]) == ("invalidRecipients", bad)
    assert (await refused(sender, email, envelope=to()))["type"] == "noRecipients"
    nobody = await draft(sender, To="Undisclosed recipients:;")
    assert (await refused(sender, nobody))["type"] == "noRecipients"
    assert await departures(sender) == []


@rfc("8621", "7.5")
@rfc("8621", "9.6")
@must
async def test_nobody_sends_as_somebody_else(app: App, sender: Jmap) -> None:
    await new_user(app, "bob@example.com")
    email = await draft(sender)
    for other in ("bob@example.com", "", "alice", "alice@example.org", "*@example.com"):
        error = await refused(sender, email, envelope=to("x@example.org", sender=other))
        assert error["type"] == "forbiddenMailFrom", other
    for author in ("bob@example.com", "Alice <alice@example.org>"):
        error = await refused(sender, await draft(sender, From=author))
        assert error["type"] == "forbiddenFrom", author
    two = await draft(sender, From="alice@example.com, bob@example.com", Sender="alice@example.com")
    assert (await refused(sender, two))["type"] == "forbiddenFrom"


@rfc("8621", "7.5")
@must
async def test_the_identity_says_which_address_is_written_from(app: App, sender: Jmap) -> None:
    await app.accounts.add_address("sales@example.com", sender.account)
    app.directory.drop()
    email = await draft(sender, From="Sales <SALES+x@example.com>")
    assert (await refused(sender, email))["type"] == "forbiddenFrom"
    sales = (await sender.create("Identity", email="sales@example.com"))["id"]
    await sender.create("EmailSubmission", identityId=sales, emailId=email)
    # An address that is taken away is not sent from, though its Identity stays.
    await app.accounts.remove_address("sales@example.com")
    app.directory.drop()
    error = await sender.refused("EmailSubmission", "create", {"identityId": sales, "emailId": email})
    assert error["type"] == "forbiddenFrom"


@rfc("8621", "7")
@must
async def test_a_sender_that_the_identity_does_not_allow_is_replaced(sender: Jmap) -> None:
    email = await draft(sender, Sender="secretary@example.org")
    made = await submit(sender, email)
    assert made["envelope"]["mailFrom"] == {"email": "alice@example.com", "parameters": None}


@rfc("8621", "7")
@must
async def test_an_identity_of_a_domain_has_no_address_of_its_own(app: App, sender: Jmap) -> None:
    await app.accounts.add_address("*@example.net", sender.account)
    app.directory.drop()
    any_of = (await sender.create("Identity", email="*@example.net"))["id"]
    email = await draft(sender, From="Me <whoever@Example.net>")
    made = await sender.create("EmailSubmission", identityId=any_of, emailId=email)
    assert made["envelope"]["mailFrom"]["email"] == "whoever@Example.net"
    email = await draft(sender, From="whoever@example.net", Sender="other@example.org")
    error = await sender.refused("EmailSubmission", "create", {"identityId": any_of, "emailId": email})
    assert error["type"] == "forbiddenMailFrom"


@rfc("8621", "7")
@must
async def test_a_message_is_held_until_it_is_released(sender: Jmap) -> None:
    email = await draft(sender)
    before = datetime.now(UTC)
    made = await submit(sender, email, envelope=to("bob@example.com", holdfor="10"))
    east = timezone(timedelta(hours=1))
    tomorrow = (before + timedelta(days=1)).replace(microsecond=500_000)
    date = tomorrow.astimezone(east).isoformat()
    until = await submit(sender, email, envelope=to("bob@example.com", HOLDUNTIL=date))
    after = datetime.now(UTC)
    assert made["undoStatus"] == until["undoStatus"] == "pending"
    sends = datetime.fromisoformat(made["sendAt"])
    assert before + timedelta(seconds=10) <= sends <= after + timedelta(seconds=11)
    second = utc_date(tomorrow + timedelta(milliseconds=500))
    assert until["sendAt"] == second
    past = await submit(sender, email, envelope=to("bob@example.com", HOLDUNTIL="2006-01-01T00:00:00Z"))
    assert past["undoStatus"] == "final"
    by_submission = {departure.submission: departure for departure in await departures(sender)}
    held = by_submission[until["id"]]
    assert (held.is_held, held.send_at) == (True, second)
    assert held.sender.parameters == {"ENVID": until["id"]}
    assert not by_submission[past["id"]].is_held


@rfc("8621", "7")
@must
@pytest.mark.parametrize(
    "parameters",
    [
        {"HOLDFOR": "soon"},
        {"HOLDFOR": None},
        {"HOLDFOR": "999999999"},
        {"HOLDFOR": "10", "HOLDUNTIL": "2026-01-01T00:00:00Z"},
        {"HOLDUNTIL": "2026-02-30T00:00:00Z"},
        {"HOLDUNTIL": "9999-12-31T00:00:00Z"},
        {"holdfor": "1", "HOLDFOR": "1"},
        {"RET": "ALL"},
        {"ENVID": "x" * 101},
        {"ENVID": "a\r\nRCPT TO:<b@c.example>"},
        {"SIZE": "big"},
        {"BODY": "BINARYMIME"},
        {"SMTPUTF8": "yes"},
        {"MT-PRIORITY": "3"},
        {"AUTH": "<>"},
    ],
)
async def test_a_bad_parameter_is_refused(sender: Jmap, parameters: dict[str, Any]) -> None:
    error = await refused(sender, await draft(sender), envelope=to("bob@example.com", **parameters))
    assert (error["type"], error["properties"]) == ("invalidProperties", ["envelope"])
    assert error["description"]


@rfc("8621", "7.5")
@must
async def test_records_of_the_same_request_are_referred_to(sender: Jmap) -> None:
    drafts = await sender.mailbox("drafts")
    written = {
        "mailboxIds": {drafts: True},
        "from": [{"email": "alice@example.com"}],
        "to": [{"email": "bob@example.com"}],
        "bodyStructure": {"partId": "1", "type": "text/plain"},
        "bodyValues": {"1": {"value": "Hello"}},
    }
    made, email, sent = await sender.responses(
        ("Identity/set", {"create": {"me": {"email": "alice+me@example.com"}}}),
        ("Email/set", {"create": {"mail": {**written, "from": [{"email": "alice+me@example.com"}]}}}),
        ("EmailSubmission/set", {"create": {"s": {"identityId": "#me", "emailId": "#mail"}}}),
    )
    submission = await sender.get("EmailSubmission", sent[1]["created"]["s"]["id"])
    assert submission["identityId"] == made[1]["created"]["me"]["id"]
    assert submission["emailId"] == email[1]["created"]["mail"]["id"]


@pytest.fixture
async def strict(store: str, tmp_path: Path) -> AsyncIterator[Jmap]:
    """A user of a server that takes 1000 octets, two recipients, and holds nothing."""
    outgoing = Outgoing(max_size=Size(1000), max_recipients=2, max_delay=Duration(0))
    async with open_server(store, tmp_path, outgoing=outgoing) as app:
        jmap = await new_user(app)
        jmap.using.append("urn:ietf:params:jmap:submission")
        yield jmap


@rfc("8621", "7.5")
@must
async def test_limits_are_told_and_kept(strict: Jmap) -> None:
    large = await draft(strict, X="x" * 1000)
    error = await refused(strict, large)
    assert (error["type"], error["maxSize"]) == ("tooLarge", 1000)
    error = await refused(strict, await draft(strict), envelope=to("b@example.com", SIZE="1001"))
    assert (error["type"], error["maxSize"]) == ("tooLarge", 1000)
    three = [f"{n}@example.com" for n in range(3)]
    error = await refused(strict, await draft(strict, To=", ".join(three)))
    assert (error["type"], error["maxRecipients"]) == ("tooManyRecipients", 2)
    error = await refused(strict, await draft(strict), envelope=to(*three))
    assert (error["type"], error["maxRecipients"]) == ("tooManyRecipients", 2)
    error = await refused(strict, await draft(strict), envelope=to("b@example.com", HOLDFOR="1"))
    assert (error["type"], error["properties"]) == ("invalidProperties", ["envelope"])
    await submit(strict, await draft(strict), envelope=to("b@example.com", "c@example.com"))


@rfc("8621", "7.5")
@must
async def test_where_nobody_may_send_it_is_said(store: str, tmp_path: Path) -> None:
    async with open_server(store, tmp_path, outgoing=Outgoing(url="off")) as app:
        jmap = await new_user(app)
        jmap.using.append("urn:ietf:params:jmap:submission")
        error = await refused(jmap, await draft(jmap))
        assert error["type"] == "forbiddenToSend"
        assert error["description"]
