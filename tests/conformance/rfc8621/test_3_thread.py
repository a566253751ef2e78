"""RFC 8621 §3: Threads."""

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "3")


def mail(id: str, *references: str, subject: str = "Plan") -> bytes:
    more = {"References": " ".join(f"<{other}@x>" for other in references)} if references else {}
    return message(subject, Message_ID=f"<{id}@x>", **more)


async def emails_of(jmap: Jmap, thread: str) -> list[str]:
    found: list[str] = (await jmap.get("Thread", thread))["emailIds"]
    return found


@must
async def test_every_email_has_a_thread(jmap: Jmap) -> None:
    email = await jmap.import_email(b"Subject: x\r\n\r\n")
    assert await emails_of(jmap, email["threadId"]) == [email["id"]]


@should
@pytest.mark.parametrize("header", ["In_Reply_To", "References", "Message_ID"])
async def test_a_common_message_id_joins(jmap: Jmap, header: str) -> None:
    first = await jmap.import_email(mail("a"))
    second = await jmap.import_email(message("Re: Plan", **{header: "<a@x>"}))
    assert first["threadId"] == second["threadId"]


@should
@pytest.mark.parametrize(
    "subject", ["Re: Plan", "RE: Fwd: plan", "[list] Re: Plan", "Plan (fwd)", " Re:  Plan "]
)
async def test_prefixes_of_subjects_do_not_count(jmap: Jmap, subject: str) -> None:
    first = await jmap.import_email(mail("a"))
    second = await jmap.import_email(mail("b", "a", subject=subject))
    assert first["threadId"] == second["threadId"]


@should
async def test_another_subject_is_another_thread(jmap: Jmap) -> None:
    first = await jmap.import_email(mail("a"))
    second = await jmap.import_email(mail("b", "a", subject="Lunch"))
    third = await jmap.import_email(mail("c", "z"))
    assert len({first["threadId"], second["threadId"], third["threadId"]}) == 3


@should
async def test_siblings_of_a_message_that_never_came_are_joined(jmap: Jmap) -> None:
    first = await jmap.import_email(mail("b", "a"))
    second = await jmap.import_email(mail("c", "a"))
    assert first["threadId"] == second["threadId"]


@must
async def test_emails_stand_by_date_oldest_first(jmap: Jmap) -> None:
    ids = []
    for n, at in ((1, "2024-01-02"), (2, "2024-01-01"), (3, "2024-01-03")):
        email = await jmap.import_email(mail(str(n), "a"), receivedAt=f"{at}T00:00:00Z")
        ids.append(email["id"])
    assert await emails_of(jmap, email["threadId"]) == [ids[1], ids[0], ids[2]]


@must
async def test_merging_gives_new_ids_to_emails(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    first = await jmap.import_email(mail("a"), keywords={"$flagged": True})
    second = await jmap.import_email(mail("c", "b"), receivedAt="2024-01-01T00:00:00Z")
    third = await jmap.import_email(mail("d", "b"))
    assert first["threadId"] != second["threadId"] == third["threadId"]
    email_state, thread_state = await jmap.state("Email"), await jmap.state("Thread")
    joining = await jmap.import_email(mail("b", "a"))
    # The larger one stays: ids change for as few as possible.
    assert joining["threadId"] == second["threadId"]
    together = await emails_of(jmap, joining["threadId"])
    assert len(together) == 4
    assert first["id"] not in together
    assert (await jmap.call("Thread/get", ids=[first["threadId"]]))["notFound"] == [first["threadId"]]
    changes = await jmap.call("Email/changes", sinceState=email_state)
    assert changes["destroyed"] == [first["id"]]
    moved = next(id for id in changes["created"] if id != joining["id"])
    again = await jmap.get("Email", moved)
    assert (again["keywords"], again["mailboxIds"]) == ({"$flagged": True}, {inbox: True})
    changes = await jmap.call("Thread/changes", sinceState=thread_state)
    assert (changes["updated"], changes["destroyed"]) == ([joining["threadId"]], [first["threadId"]])
    counted = await jmap.get("Mailbox", inbox)
    assert (counted["totalEmails"], counted["totalThreads"], counted["unreadThreads"]) == (4, 1, 1)
    assert await jmap.query("Email", filter={"text": "plan"}) != []
    assert moved in await jmap.query("Email", filter={"subject": "plan"})


@must
async def test_what_one_call_joins_is_told_as_it_is_in_the_end(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    wanted = {}
    for name, data in {
        "a": mail("a"),
        "c": mail("c", "b"),
        "d": mail("d", "x"),
        "b": mail("b", "a", "x"),
    }.items():
        wanted[name] = {"blobId": await jmap.upload(data), "mailboxIds": {inbox: True}}
    made = (await jmap.call("Email/import", emails=wanted))["created"]
    assert len({email["threadId"] for email in made.values()}) == 1
    assert set(await emails_of(jmap, made["a"]["threadId"])) == {email["id"] for email in made.values()}
    for email in made.values():
        assert (await jmap.get("Email", email["id"]))["threadId"] == email["threadId"]


@must
async def test_drafts_made_in_one_call_are_told_as_they_are(jmap: Jmap) -> None:
    box = {"mailboxIds": {await jmap.mailbox("drafts"): True}, "subject": "Plan"}
    made = (
        await jmap.set(
            "Email",
            create={
                "a": {**box, "messageId": ["a@x"]},
                "c": {**box, "messageId": ["c@x"]},
                "b": {**box, "messageId": ["b@x"], "references": ["a@x", "c@x"]},
            },
        )
    )["created"]
    for email in made.values():
        assert (await jmap.get("Email", email["id"]))["threadId"] == email["threadId"]
    assert len({email["threadId"] for email in made.values()}) == 1


@must
async def test_a_thread_ends_with_its_last_email(jmap: Jmap) -> None:
    first = await jmap.import_email(mail("a"))
    second = await jmap.import_email(mail("b", "a"))
    state = await jmap.state("Thread")
    await jmap.set("Email", destroy=[first["id"]])
    assert await emails_of(jmap, first["threadId"]) == [second["id"]]
    await jmap.set("Email", destroy=[second["id"]])
    assert (await jmap.call("Thread/get", ids=[first["threadId"]]))["notFound"] == [first["threadId"]]
    changes = await jmap.call("Thread/changes", sinceState=state)
    assert changes["destroyed"] == [first["threadId"]]


@rfc("8621", "3.1")
@must
async def test_threads_are_fetched(jmap: Jmap) -> None:
    email = await jmap.import_email(mail("a"))
    found = await jmap.call("Thread/get", ids=[email["threadId"], "nothing"])
    assert found["list"] == [{"id": email["threadId"], "emailIds": [email["id"]]}]
    assert found["notFound"] == ["nothing"]
    found = await jmap.call("Thread/get", ids=[email["threadId"]], properties=[])
    assert found["list"] == [{"id": email["threadId"]}]


@rfc("8621", "3.2")
@must
async def test_keywords_do_not_change_a_thread(jmap: Jmap) -> None:
    email = await jmap.import_email(mail("a"))
    state = await jmap.state("Thread")
    await jmap.update("Email", email["id"], keywords={"$seen": True})
    assert await jmap.state("Thread") == state
    await jmap.import_email(mail("b", "a"))
    changes = await jmap.call("Thread/changes", sinceState=state)
    assert (changes["created"], changes["updated"]) == ([], [email["threadId"]])


@must
async def test_threads_are_only_derived(jmap: Jmap) -> None:
    for method in ("Thread/set", "Thread/query", "Thread/queryChanges", "Thread/copy"):
        assert (await jmap.error(method))["type"] == "unknownMethod"
