"""MDN/send (RFC 9007)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from jmap import USING, Jmap, message, new_user, open_server
from veredus.app import App
from veredus.config.settings import Outgoing
from veredus.formats.mime.message import parse
from veredus.formats.report import Mdn, parse_report
from veredus.mail import outbox
from veredus.mail.mdn import send as sending
from veredus.mail.outbox import Departure

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("9007", "2.1")

MDN = "urn:ietf:params:jmap:mdn"
SUBMISSION = "urn:ietf:params:jmap:submission"
DISPOSITION = {"actionMode": "manual-action", "sendingMode": "mdn-sent-manually", "type": "displayed"}
MARK = {"keywords/$mdnsent": True}
ASKING = {
    "Disposition_Notification_To": "Bob <bob@example.org>",
    "Message_ID": "<199509192301.23456@example.org>",
}


@pytest.fixture
async def jmap(app: App) -> Jmap:
    return await writer(app)


async def writer(app: App) -> Jmap:
    user = await new_user(app)
    user.using = [*USING, MDN, SUBMISSION]
    return user


async def identity(jmap: Jmap) -> str:
    return (await jmap.call("Identity/get"))["list"][0]["id"]


async def asked(jmap: Jmap, subject: str = "World domination", **headers: str) -> str:
    """An Email whose sender wants an MDN."""
    data = message(subject, **{"From": "bob@example.org", "To": "alice@example.com", **ASKING, **headers})
    return (await jmap.import_email(data))["id"]


async def send(jmap: Jmap, *mdns: dict[str, Any], **args: Any) -> Any:
    """All responses to one MDN/send of these MDNs, "m0" and so on, each of which marks its Email."""
    arguments = {
        "identityId": args.pop("identity", None) or await identity(jmap),
        "send": {f"m{number}": {"disposition": DISPOSITION, **mdn} for number, mdn in enumerate(mdns)},
        "onSuccessUpdateEmail": {f"#m{number}": MARK for number in range(len(mdns))},
        **args,
    }
    return await jmap.responses(("MDN/send", arguments))


async def refused(jmap: Jmap, mdn: dict[str, Any], **args: Any) -> Any:
    """The SetError of one MDN, which must leave no trace."""
    before = await jmap.state("Email")
    responses = await send(jmap, mdn, **args)
    assert [name for name, _, _ in responses] == ["MDN/send"], responses
    assert responses[0][1]["sent"] is None
    assert await jmap.state("Email") == before
    return responses[0][1]["notSent"]["m0"]


async def departures(jmap: Jmap) -> list[Departure]:
    async with jmap.app.store.read(jmap.account) as snapshot:
        return await outbox.load(snapshot, None)


async def left(jmap: Jmap) -> tuple[Departure, bytes, Mdn]:
    """The one that leaves: its envelope, its octets, and what it says."""
    (departure,) = await departures(jmap)
    data = b"".join([chunk async for chunk in jmap.app.blobs.open(departure.blob_id, 0, departure.size)])
    report = parse_report(parse(data))
    assert report is not None
    assert report.mdn is not None
    return departure, data, report.mdn


@must
@rfc("9007", "1.3")
async def test_the_capability_is_an_empty_object_in_session_and_account(jmap: Jmap) -> None:
    session, _ = await jmap.app.engine.session(jmap.identity, "http://test")
    decoded = json.loads(session)
    assert decoded["capabilities"][MDN] == {}
    assert decoded["accounts"][jmap.account]["accountCapabilities"][MDN] == {}


@must
@rfc("9007", "3.1")
async def test_the_example_of_the_rfc(jmap: Jmap) -> None:
    email = await asked(jmap)
    text = (
        "This receipt shows that the email has been displayed on your recipient's computer. There is no "
        "guaranty it has been read or understood."
    )
    arguments = {
        "identityId": await identity(jmap),
        "send": {
            "k1546": {
                "forEmailId": email,
                "subject": "Read receipt for: World domination",
                "textBody": text,
                "reportingUA": "joes-pc.cs.example.com; Foomail 97.1",
                "disposition": DISPOSITION,
                "extensionFields": {"EXTENSION-EXAMPLE": "example.com"},
            }
        },
        "onSuccessUpdateEmail": {"#k1546": MARK},
    }
    mdn, update = await jmap.responses(("MDN/send", arguments))
    assert mdn[1]["notSent"] is None
    assert mdn[1]["sent"]["k1546"] == {
        "finalRecipient": "rfc822; alice@example.com",
        "originalMessageId": "<199509192301.23456@example.org>",
        "includeOriginalMessage": False,
        "mdnGateway": None,
        "originalRecipient": None,
        "error": None,
    }
    assert (update[0], update[2]) == ("Email/set", mdn[2])
    assert list(update[1]["updated"]) == [email]
    assert "$mdnsent" in (await jmap.get("Email", email))["keywords"]
    departure, data, said = await left(jmap)
    assert (departure.sender.email, departure.origin) == ("", "mdn")
    assert [recipient.email for recipient in departure.recipients] == ["bob@example.org"]
    assert (said.reporting_ua, said.extension_fields) == (
        "joes-pc.cs.example.com; Foomail 97.1",
        {"EXTENSION-EXAMPLE": "example.com"},
    )
    header = data.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert "From: alice@example.com" in header
    assert "To: bob@example.org" in header
    assert "Subject: Read receipt for: World domination" in header
    assert "In-Reply-To: <199509192301.23456@example.org>" in header
    assert not any(line.lower().startswith("disposition-notification-to") for line in header)


@must
async def test_a_second_one_is_refused(jmap: Jmap) -> None:
    email = await asked(jmap)
    await send(jmap, {"forEmailId": email})
    assert (await refused(jmap, {"forEmailId": email}))["type"] == "mdnAlreadySent"
    assert len(await departures(jmap)) == 1


@must
async def test_of_two_for_one_email_one_leaves(jmap: Jmap) -> None:
    email = await asked(jmap)
    mdn, _ = await send(jmap, {"forEmailId": email}, {"forEmailId": email})
    assert (list(mdn[1]["sent"]), mdn[1]["notSent"]["m1"]["type"]) == (["m0"], "mdnAlreadySent")
    second = await asked(jmap)
    name = await identity(jmap)
    both = await asyncio.gather(*(send(jmap, {"forEmailId": second}, identity=name) for _ in range(4)))
    assert sorted(bool(responses[0][1]["sent"]) for responses in both) == [False, False, False, True]
    assert len(await departures(jmap)) == 2


@must
async def test_one_that_would_not_set_the_keyword_is_refused(jmap: Jmap) -> None:
    email, name = await asked(jmap), await identity(jmap)
    updates: list[Any] = [
        None,
        {},
        {"#m0": {"keywords/$seen": True}},
        {"#m0": {"keywords/$mdnsent": None}},
        {"#m0": {"keywords/$MDNSent": True}},
        {"#m0": {"keywords": {"$seen": True}}},
        {"#m1": MARK},
        {"#m0": MARK, "eNobody": {"keywords/$seen": True}},
    ]
    for update in updates:
        responses = await send(jmap, {"forEmailId": email}, identity=name, onSuccessUpdateEmail=update)
        assert [(name, error["type"]) for name, error, _ in responses] == [("error", "invalidArguments")], (
            update
        )
    assert await departures(jmap) == []


async def test_the_update_may_be_by_email_and_set_more(jmap: Jmap) -> None:
    email = await asked(jmap)
    patch = {"keywords": {"$mdnsent": True, "$seen": True}}
    await send(jmap, {"forEmailId": email}, onSuccessUpdateEmail={email: patch})
    assert set((await jmap.get("Email", email))["keywords"]) == {"$mdnsent", "$seen"}


@must
async def test_an_identity_that_is_not_there_is_refused(jmap: Jmap) -> None:
    email = await asked(jmap)
    for id in ("iNobody", "#", "", "#new"):
        responses = await send(jmap, {"forEmailId": email}, identity=id or "*")
        assert responses[0][1]["type"] == "invalidArguments"


@must
async def test_without_the_mail_capability_there_is_no_such_method(jmap: Jmap) -> None:
    email, name = await asked(jmap), await identity(jmap)
    jmap.using.remove("urn:ietf:params:jmap:mail")
    assert (await send(jmap, {"forEmailId": email}, identity=name))[0][1]["type"] == "unknownMethod"
    jmap.using = [*USING]
    assert (await send(jmap, {"forEmailId": email}, identity=name))[0][1]["type"] == "unknownMethod"


@must
async def test_an_email_that_asks_for_none_is_not_found(jmap: Jmap) -> None:
    for field in ("", "nobody", "Bob <bob@example.org>, nobody"):
        email = await asked(jmap, Disposition_Notification_To=field)
        assert (await refused(jmap, {"forEmailId": email}))["type"] == "notFound", field


@must
async def test_an_email_that_is_not_there_is_not_found(jmap: Jmap) -> None:
    plain = (await jmap.import_email(message()))["id"]
    for id in (plain, "eNobody", "*", "#k"):
        assert (await refused(jmap, {"forEmailId": id}))["type"] == "notFound"


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"forEmailId": None}, ["forEmailId"]),
    ({"disposition": None}, ["disposition"]),
    ({"disposition": {**DISPOSITION, "type": "Displayed"}}, ["disposition"]),
    ({"disposition": {**DISPOSITION, "modifiers": []}}, ["disposition"]),
    ({"subject": "a\r\nBcc: eve@example.net"}, ["subject"]),
    ({"subject": "a" * 1_000}, ["subject"]),
    ({"textBody": 1, "includeOriginalMessage": "yes"}, ["textBody", "includeOriginalMessage"]),
    ({"reportingUA": "a\nb"}, ["reportingUA"]),
    ({"extensionFields": {"Final-Recipient": "x"}}, ["extensionFields"]),
    ({"extensionFields": {"X-A": "b\r\nX-B: c"}}, ["extensionFields"]),
    ({"finalRecipient": "x400; /S=a/"}, ["finalRecipient"]),
    ({"finalRecipient": "nobody"}, ["finalRecipient"]),
    ({"mdnGateway": "x", "error": ["y"], "more": 1}, ["error", "mdnGateway", "more"]),
]


@must
async def test_what_is_wrong_is_named(jmap: Jmap) -> None:
    email = await asked(jmap)
    for given, bad in WRONG:
        error = await refused(jmap, {"forEmailId": email, **given}, onSuccessUpdateEmail={"#m0": MARK})
        assert error["type"] == "invalidProperties", given
        assert sorted(error["properties"]) == sorted(bad)


@should
@rfc("9007", "5")
async def test_final_recipient_must_be_an_address_of_the_account(jmap: Jmap) -> None:
    email = await asked(jmap)
    assert (await refused(jmap, {"forEmailId": email, "finalRecipient": "eve@example.com"}))[
        "type"
    ] == "forbiddenFrom"
    mdn = (await send(jmap, {"forEmailId": email, "finalRecipient": "Alice+x@example.com"}))[0][1]
    assert mdn["sent"]["m0"]["finalRecipient"] == "rfc822; Alice+x@example.com"
    assert (await left(jmap))[2].final_recipient == "rfc822; Alice+x@example.com"


async def test_what_the_client_leaves_out_is_told(jmap: Jmap) -> None:
    email = await asked(jmap, Original_Recipient="rfc822;team@example.com")
    mdn = (await send(jmap, {"forEmailId": email, "reportingUA": None}))[0][1]["sent"]["m0"]
    _, data, said = await left(jmap)
    assert mdn == {
        "subject": "Displayed: World domination",
        "textBody": "Your message to alice@example.com has been displayed. "
        "This does not say that it was read or understood.\n",
        "includeOriginalMessage": False,
        "reportingUA": None,
        "mdnGateway": None,
        "originalRecipient": "rfc822; team@example.com",
        "finalRecipient": "rfc822; alice@example.com",
        "originalMessageId": "<199509192301.23456@example.org>",
        "error": None,
        "extensionFields": None,
    }
    assert said.original_recipient == "rfc822; team@example.com"
    assert b"Subject: Displayed: World domination\r\n" in data
    assert said.reporting_ua is None


async def test_the_original_message_comes_along_if_it_is_asked_for(jmap: Jmap) -> None:
    email = await asked(jmap)
    await send(jmap, {"forEmailId": email, "includeOriginalMessage": True})
    parts = parse((await left(jmap))[1]).root.sub_parts
    assert [part.type for part in parts][2] == "message/rfc822"
    assert b"Subject: World domination" in parts[2].content()


@should
async def test_without_a_person_only_the_sender_is_answered(jmap: Jmap) -> None:
    automatic = {"disposition": {**DISPOSITION, "sendingMode": "mdn-sent-automatically"}}
    two = "bob@example.org, al@example.org"
    for fields in (
        {},
        {"Return_Path": "<eve@example.net>"},
        {"Return_Path": "<>"},
        {"Return_Path": "<bob@example.org>", "Disposition_Notification_To": two},
    ):
        email = await asked(jmap, **fields)
        assert (await refused(jmap, {"forEmailId": email, **automatic}))["type"] == "forbidden"
    email = await asked(jmap, Return_Path="<Bob@example.org>")
    assert (await send(jmap, {"forEmailId": email, **automatic}))[0][1]["sent"]
    assert (await send(jmap, {"forEmailId": await asked(jmap, Disposition_Notification_To=two)}))[0][1][
        "sent"
    ]


@must
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("signed-receipt=required,yes", "forbidden"),
        ("a=optional,b,c; Signed-Receipt = REQUIRED , x", "forbidden"),
        ("signed-receipt=optional,required", None),
        ("required", None),
    ],
)
async def test_what_must_be_understood_and_is_not_keeps_an_mdn_back(
    jmap: Jmap, options: str, error: str | None
) -> None:
    """RFC 8098 §2.2; no parameter of Disposition-Notification-Options is known here."""
    email = await asked(jmap, Disposition_Notification_Options=options)
    if error is None:
        assert (await send(jmap, {"forEmailId": email}))[0][1]["sent"]
    else:
        assert (await refused(jmap, {"forEmailId": email}))["type"] == error


@must
async def test_an_mdn_is_not_answered(jmap: Jmap) -> None:
    kind = 'multipart/report; report-type="Disposition-Notification"; boundary=x'
    email = await asked(jmap, Content_Type=kind)
    assert (await refused(jmap, {"forEmailId": email}))["type"] == "forbidden"


async def test_odd_characters_of_message_and_identity_do_no_harm(jmap: Jmap) -> None:
    name = await jmap.create("Identity", email="alice@example.com", name="A\nBcc: eve@example.net")
    email = await asked(jmap, "=?utf-8?b?YQ0KQmNjOiBl?= =?utf-8?q?=00=07?=", Message_ID="<a b<c@x>")
    mdn = (await send(jmap, {"forEmailId": email}, identity=name["id"]))[0][1]
    assert mdn["sent"], mdn
    header = (await left(jmap))[1].partition(b"\r\n\r\n")[0]
    assert not any(line.lower().startswith(b"bcc") for line in header.split(b"\r\n"))


async def test_who_may_only_read_may_not_send(jmap: Jmap, reader: Jmap) -> None:
    email, name = await asked(jmap), await identity(jmap)
    reader.using = jmap.using
    assert (await send(reader, {"forEmailId": email}, identity=name))[0][1]["type"] == "accountReadOnly"


async def test_too_many_in_one_call_are_refused(jmap: Jmap) -> None:
    limit = jmap.app.config.limits.max_objects_in_set
    responses = await send(jmap, *[{"forEmailId": "e"}] * (limit + 1))
    assert responses[0][1]["type"] == "requestTooLarge"


async def test_when_too_many_wait_to_leave_it_may_be_tried_later(
    jmap: Jmap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "MAX_WAITING", 1)
    first, second = await asked(jmap), await asked(jmap)
    mdn = (await send(jmap, {"forEmailId": first}, {"forEmailId": second}))[0][1]
    assert (list(mdn["sent"]), mdn["notSent"]["m1"]["type"]) == (["m0"], "rateLimit")
    assert "$mdnsent" not in (await jmap.get("Email", second))["keywords"]


@pytest.mark.parametrize(
    ("outgoing", "error"), [({"url": "off"}, "forbidden"), ({"max_size": 2_000}, "tooLarge")]
)
async def test_what_the_server_does_not_send(
    store: str, tmp_path: Path, outgoing: dict[str, Any], error: str
) -> None:
    async with open_server(store, tmp_path, outgoing=Outgoing(**outgoing)) as app:
        jmap = await writer(app)
        email = await asked(jmap, "x" * 900)
        mdn = {"forEmailId": email, "includeOriginalMessage": True}
        assert (await refused(jmap, mdn))["type"] == error


@rfc("9007", "3.2")
async def test_an_mdn_is_asked_for_with_a_header_field(jmap: Jmap) -> None:
    created = await jmap.create(
        "Email",
        **{
            "mailboxIds": {await jmap.mailbox("drafts"): True},
            "keywords": {"$seen": True, "$draft": True},
            "from": [{"name": "Joe Bloggs", "email": "joe@example.com"}],
            "to": [{"name": "John", "email": "john@example.com"}],
            "header:Disposition-Notification-To:asText": "joe@example.com",
            "subject": "World domination",
        },
    )
    assert (await send(jmap, {"forEmailId": created["id"]}))[0][1]["sent"]
    assert [found.email for found in (await left(jmap))[0].recipients] == ["joe@example.com"]
