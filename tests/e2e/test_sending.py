"""The main job, with the server as a process and a real SMTP peer: write, send, undo, bounce, filter, answer."""

import asyncio
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e.clients import HttpJmap
from e2e.process import ServerProcess
from sending.peer import Peer, on, peer
from waiting import until

ALICE, BOB = "alice@example.com", "bob@example.org"
USING = [
    "core", "mail", "submission", "vacationresponse", "sieve",
]  # fmt: skip
SCRIPT = """require ["fileinto", "mailbox", "imap4flags"];
if header :contains "subject" "[list]" { addflag "\\\\Flagged"; fileinto :create "Lists/Dev"; }
"""


class Client(HttpJmap):
    """alice's mail program."""

    async def responses(self, calls: Any) -> list[tuple[str, Any]]:
        body = {
            "using": [f"urn:ietf:params:jmap:{name}" for name in USING],
            "methodCalls": [[name, {"accountId": self.account, **args}, "c"] for name, args in calls],
        }
        answer = await self.http.post("/jmap", json=body)
        answer.raise_for_status()
        return [(name, response) for name, response, _ in answer.json()["methodResponses"]]

    async def prepare(self) -> None:
        await self.session()
        boxes = (await self.call("Mailbox/get", ids=None))["list"]
        self.boxes = {box["role"]: box["id"] for box in boxes}
        self.identity = (await self.call("Identity/get", ids=None))["list"][0]["id"]

    async def draft(self, subject: str, **more: Any) -> str:
        email = {
            "mailboxIds": {self.boxes["drafts"]: True},
            "keywords": {"$draft": True, "$seen": True},
            "from": [{"email": ALICE}],
            "to": [{"email": BOB}],
            "bcc": [{"email": "secret@example.net"}],
            "subject": subject,
            "bodyStructure": {"partId": "t", "type": "text/plain"},
            "bodyValues": {"t": {"value": "Hi Bob."}},
            **more,
        }
        answer = await self.call("Email/set", create={"d": email})
        assert not answer["notCreated"], answer
        return str(answer["created"]["d"]["id"])

    async def send(self, email: str, hold_s: int | None = None) -> str:
        """As RFC 8621 §7.5.1 shows: on success the draft moves to Sent."""
        submission: dict[str, Any] = {"identityId": self.identity, "emailId": email}
        if hold_s is not None:
            sender = {"email": ALICE, "parameters": {"HOLDFOR": str(hold_s)}}
            recipients = [{"email": address, "parameters": None} for address in (BOB, "secret@example.net")]
            submission["envelope"] = {"mailFrom": sender, "rcptTo": recipients}
        moved = {
            f"mailboxIds/{self.boxes['drafts']}": None,
            f"mailboxIds/{self.boxes['sent']}": True,
            "keywords/$draft": None,
        }
        arguments = {"create": {"s": submission}, "onSuccessUpdateEmail": {"#s": moved}}
        answers = await self.responses([("EmailSubmission/set", arguments)])
        assert [name for name, _ in answers] == ["EmailSubmission/set", "Email/set"], answers
        assert answers[1][1]["updated"] == {email: None}
        return str(answers[0][1]["created"]["s"]["id"])

    async def submission(self, id: str) -> Any:
        return (await self.call("EmailSubmission/get", ids=[id]))["list"][0]

    async def subjects(self, mailbox: str) -> list[str]:
        found = (await self.call("Email/query", filter={"inMailbox": mailbox}))["ids"]
        emails = (await self.call("Email/get", ids=found, properties=["subject"]))["list"]
        return [email["subject"] for email in emails]


@pytest.fixture
async def smtp() -> AsyncIterator[Peer]:
    async with peer() as it:
        yield it


@pytest.fixture
async def server(tmp_path: Path, smtp: Peer) -> AsyncIterator[ServerProcess]:
    async with ServerProcess(tmp_path, f'[outgoing]\nurl = "{smtp.url}"\n') as it:
        async with it.opened() as app:
            await app.add_account(ALICE, "secret")
        await it.start()
        yield it
        assert it.errors == []
        assert await it.stop() == 0


@pytest.fixture
async def alice(server: ServerProcess) -> AsyncIterator[Client]:
    client = Client(server.url, (ALICE, "secret"))
    await client.prepare()
    yield client
    await client.close()


async def test_a_draft_is_sent_undone_in_time_or_leaves_and_its_bounce_comes_back(
    alice: Client, server: ServerProcess, smtp: Peer
) -> None:
    upload = f"/jmap/upload/{alice.account}/"
    blob = (
        await alice.http.post(upload, content=b"%PDF-1", headers={"content-type": "application/pdf"})
    ).json()
    structure = {
        "type": "multipart/mixed",
        "subParts": [
            {"partId": "t", "type": "text/plain"},
            {
                "blobId": blob["blobId"],
                "type": "application/pdf",
                "name": "plan.pdf",
                "disposition": "attachment",
            },
        ],
    }
    email = await alice.draft("The plan", bodyStructure=structure)
    undone = await alice.send(await alice.draft("A mistake"), hold_s=60)
    sent = await alice.send(email, hold_s=2)
    assert (await alice.submission(sent))["undoStatus"] == "pending"
    answer = await alice.call("EmailSubmission/set", update={undone: {"undoStatus": "canceled"}})
    assert undone in answer["updated"]
    await smtp.got(1)
    (message,) = smtp.messages
    assert message.recipients == [BOB, "secret@example.net"]
    assert b"plan.pdf" in message.data
    assert b"secret" not in message.data
    assert sorted(await alice.subjects(alice.boxes["sent"])) == ["A mistake", "The plan"]

    async def is_told() -> bool:
        status = (await alice.submission(sent))["deliveryStatus"][BOB]
        return bool(status["delivered"] == "unknown")

    await until(is_told)
    shown = await alice.submission(sent)
    assert shown["undoStatus"] == "final"
    assert shown["deliveryStatus"][BOB]["smtpReply"] == "250 2.1.5 recipient ok"
    late = await alice.call("EmailSubmission/set", update={sent: {"undoStatus": "canceled"}})
    assert late["notUpdated"][sent]["type"] == "cannotUnsend"
    envelope_id = message.parameters.partition("ENVID=")[2].split(" ")[0]
    await _deliver(server, "", _bounce(envelope_id))

    async def is_linked() -> bool:
        return bool((await alice.submission(sent))["dsnBlobIds"])

    await until(is_linked)
    shown = await alice.submission(sent)
    assert shown["deliveryStatus"][BOB]["delivered"] == "no"
    assert shown["deliveryStatus"]["secret@example.net"]["delivered"] == "unknown"
    report = await alice.http.get(
        f"/jmap/download/{alice.account}/{shown['dsnBlobIds'][0]}/r?type=text/plain"
    )
    assert b"5.1.1" in report.content
    assert smtp.mails == 1


async def test_a_refused_recipient_comes_back_as_a_report_that_the_submission_names(
    alice: Client, smtp: Peer
) -> None:
    smtp.rules.append(on("RCPT", "550-5.1.1 no such\r\n550 5.1.1 user", contains=BOB))
    sent = await alice.send(await alice.draft("Hello"))

    async def is_linked() -> bool:
        return bool((await alice.submission(sent))["dsnBlobIds"])

    await until(is_linked)
    status = (await alice.submission(sent))["deliveryStatus"]
    assert status[BOB]["delivered"] == "no"
    assert status[BOB]["smtpReply"] == "550 5.1.1 no such user"
    assert status["secret@example.net"]["delivered"] == "unknown"
    assert await alice.subjects(alice.boxes["inbox"]) == ["Your message could not be delivered"]


async def test_a_script_files_what_arrives_and_the_vacation_answers_once(
    alice: Client, server: ServerProcess, smtp: Peer
) -> None:
    upload = f"/jmap/upload/{alice.account}/"
    blob = (await alice.http.post(upload, content=SCRIPT.encode())).json()
    script = {"name": "main", "blobId": blob["blobId"]}
    made = await alice.call("SieveScript/set", create={"s": script}, onSuccessActivateScript="#s")
    assert not made["notCreated"], made
    vacation = {"isEnabled": True, "subject": "Away", "textBody": "Back in May."}
    await alice.call("VacationResponse/set", update={"singleton": vacation})
    await _deliver(server, BOB, f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: [list] news\r\n\r\nnews\r\n")
    for number in range(2):
        text = f"From: {BOB}\r\nTo: {ALICE}\r\nSubject: Question {number}\r\nMessage-ID: <{number}@x.example>\r\n\r\n?\r\n"
        await _deliver(server, BOB, text)
    await smtp.got(1)
    boxes = (await alice.call("Mailbox/get", ids=None))["list"]
    names = {box["name"]: box["id"] for box in boxes}
    assert await alice.subjects(names["Dev"]) == ["[list] news"]
    assert sorted(await alice.subjects(alice.boxes["inbox"])) == ["Question 0", "Question 1"]
    (answer,) = smtp.messages
    assert (answer.sender, answer.recipients) == ("<>", [BOB])
    assert b"Back in May." in answer.data
    assert b"Auto-Submitted: auto-replied" in answer.data


def _bounce(envelope_id: str) -> str:
    lines = [
        "From: mailer-daemon@peer.example", f"To: {ALICE}", "Subject: Undelivered", "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"', "", "--b", "", "Sorry.", "--b",
        "Content-Type: message/delivery-status", "", f"Original-Envelope-Id: {envelope_id}",
        "Reporting-MTA: dns; peer.example", "", f"Final-Recipient: rfc822; {BOB}", "Action: failed", "Status: 5.1.1",
        "--b--", "",
    ]  # fmt: skip
    return "\r\n".join(lines)


async def _deliver(server: ServerProcess, sender: str, message: str) -> None:
    def send() -> None:
        with smtplib.LMTP("127.0.0.1", server.ports["lmtp"]) as client:
            client.sendmail(sender, [ALICE], message)

    await asyncio.to_thread(send)
