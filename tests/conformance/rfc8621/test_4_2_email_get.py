"""RFC 8621 §4.2, §4.3: Email/get and Email/changes."""

from typing import Any

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.2")

DEFAULT = (
    "id blobId threadId mailboxIds keywords size receivedAt messageId inReplyTo references sender from to cc bcc "
    "replyTo subject sentAt hasAttachment preview bodyValues textBody htmlBody attachments"
).split()
PART = "partId blobId size name type charset disposition cid language location".split()
TEXT, HTML = "Grüße\r\n" * 10, '<p title="x">Grüße</p>' * 10
MIXED = (
    "Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n"
    "--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n"
    f"--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{TEXT}\r\n"
    f"--a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{HTML}\r\n--a--\r\n"
    "--m\r\nContent-Type: text/csv\r\nContent-Disposition: attachment\r\n\r\na,b\r\n"
    "--m\r\nContent-Type: image/png\r\nContent-Disposition: attachment\r\n\r\nPNG\r\n--m--\r\n"
).encode()


@must
async def test_the_default_properties(jmap: Jmap) -> None:
    email = await jmap.import_email(MIXED)
    for args in ({}, {"properties": None}):
        found = await jmap.get("Email", email["id"], **args)
        assert list(found) == DEFAULT or set(found) == set(DEFAULT)
        assert found["bodyValues"] == {}
        for name in ("textBody", "htmlBody", "attachments"):
            assert all(set(part) == set(PART) for part in found[name])


@must
async def test_body_properties_are_those_asked_for(jmap: Jmap) -> None:
    email = await jmap.import_email(MIXED)
    names = ["textBody", "bodyStructure"]
    found = await jmap.get(
        "Email", email["id"], properties=names, bodyProperties=["type", "header:Content-TYPE"]
    )
    assert [set(part) for part in found["textBody"]] == [{"type", "header:Content-TYPE"}]
    assert found["textBody"][0]["header:Content-TYPE"] == " text/plain; charset=utf-8"
    assert [part["type"] for part in found["bodyStructure"]["subParts"]] == [
        "multipart/alternative", "text/csv", "image/png",
    ]  # fmt: skip
    error = await jmap.error("Email/get", ids=[email["id"]], bodyProperties=["nothing"])
    assert error["type"] == "invalidArguments"


@must
@pytest.mark.parametrize(
    ("args", "types"),
    [
        ({}, []),
        ({"fetchTextBodyValues": True}, ["text/plain"]),
        ({"fetchHTMLBodyValues": True}, ["text/html"]),
        ({"fetchTextBodyValues": True, "fetchHTMLBodyValues": True}, ["text/html", "text/plain"]),
        ({"fetchAllBodyValues": True}, ["text/csv", "text/html", "text/plain"]),
    ],
)
async def test_values_of_bodies_are_fetched(jmap: Jmap, args: dict[str, bool], types: list[str]) -> None:
    email = await jmap.import_email(MIXED)
    found = await jmap.get("Email", email["id"], **args)
    parts = {
        part["partId"]: part["type"]
        for name in ("textBody", "htmlBody", "attachments")
        for part in found[name]
    }
    assert sorted(parts[id] for id in found["bodyValues"]) == types


@must
@pytest.mark.parametrize("octets", [1, 3, 4, 5, 14, 50, 10_000])
async def test_truncated_values_are_whole_characters_and_tags(jmap: Jmap, octets: int) -> None:
    email = await jmap.import_email(MIXED)
    found = await jmap.get("Email", email["id"], fetchAllBodyValues=True, maxBodyValueBytes=octets)
    for id, body in found["bodyValues"].items():
        whole = {"text/plain": TEXT.replace("\r\n", "\n"), "text/html": HTML, "text/csv": "a,b"}[
            next(
                part["type"]
                for name in ("textBody", "htmlBody", "attachments")
                for part in found[name]
                if part["partId"] == id
            )
        ]
        value = body["value"]
        assert len(value.encode()) <= octets
        assert whole.startswith(value)
        assert body["isTruncated"] is (value != whole)
        assert body["isEncodingProblem"] is False
        assert value.rfind("<") <= value.rfind(">")


@must
@pytest.mark.parametrize(
    "args", [{"maxBodyValueBytes": -1}, {"maxBodyValueBytes": "1"}, {"fetchAllBodyValues": 1}]
)
async def test_wrong_arguments_are_refused(jmap: Jmap, args: dict[str, Any]) -> None:
    assert (await jmap.error("Email/get", ids=[], **args))["type"] == "invalidArguments"


@must
async def test_names_come_back_as_they_were_asked(jmap: Jmap) -> None:
    email = await jmap.import_email(message())
    names = ["header:sUbJeCt", "header:SUBJECT:asText", "header:FROM:asAddresses:all"]
    assert set(await jmap.get("Email", email["id"], properties=names)) == {"id", *names}


@must
async def test_unknown_properties_are_refused_and_unknown_ids_listed(jmap: Jmap) -> None:
    email = await jmap.import_email(message())
    for name in ("body", "sortSubject", "structure", "threadKeys", "lists", "decodedHeaders"):
        assert (await jmap.error("Email/get", ids=[email["id"]], properties=[name]))[
            "type"
        ] == "invalidArguments"
    found = await jmap.call("Email/get", ids=["x", email["id"], "y", email["id"]], properties=["size"])
    assert (len(found["list"]), found["notFound"]) == (1, ["x", "y"])


@must
async def test_the_example_of_the_specification(jmap: Jmap) -> None:
    data = message(
        "Dinner on Thursday?", "<p>Hello" + " there" * 100, List_Post="<mailto:partytime@lists.example.com>"
    )
    data = data.replace(b"text/plain", b"text/html")
    email = await jmap.import_email(data, receivedAt="2013-10-13T14:12:00Z")
    properties = [
        "threadId", "mailboxIds", "from", "subject", "receivedAt", "header:List-POST:asURLs", "htmlBody", "bodyValues",
    ]  # fmt: skip
    found = await jmap.call(
        "Email/get", ids=["f123u456", email["id"]], properties=properties,
        bodyProperties=["partId", "blobId", "size", "type"], fetchHTMLBodyValues=True, maxBodyValueBytes=256,
    )  # fmt: skip
    shown = found["list"][0]
    assert found["notFound"] == ["f123u456"]
    assert set(shown) == {"id", *properties}
    assert shown["header:List-POST:asURLs"] == ["mailto:partytime@lists.example.com"]
    part = shown["htmlBody"][0]
    assert set(part) == {"partId", "blobId", "size", "type"}
    value = shown["bodyValues"][part["partId"]]
    assert value["isTruncated"] is True
    assert len(value["value"]) == 256


@rfc("8621", "4.3")
@must
async def test_changes_of_emails(jmap: Jmap) -> None:
    first = await jmap.import_email(message("1"))
    since = await jmap.state("Email")
    second = await jmap.import_email(message("2"))
    passing = await jmap.import_email(message("3"))
    await jmap.update("Email", first["id"], **{"keywords/$seen": True})
    await jmap.set("Email", destroy=[passing["id"]])
    changes = await jmap.call("Email/changes", sinceState=since)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == (
        [second["id"]],
        [first["id"]],
        [],
    )
    assert (changes["oldState"], changes["hasMoreChanges"]) == (since, False)
    assert changes["newState"] == await jmap.state("Email")


@rfc("8621", "4.3")
@must
async def test_changes_come_in_steps(jmap: Jmap) -> None:
    since = await jmap.state("Email")
    made = {(await jmap.import_email(message(str(n))))["id"] for n in range(5)}
    seen: list[str] = []
    more = True
    while more:
        changes = await jmap.call("Email/changes", sinceState=since, maxChanges=2)
        assert len(changes["created"]) <= 2
        seen += changes["created"]
        since, more = changes["newState"], changes["hasMoreChanges"]
    assert set(seen) == made
    assert since == await jmap.state("Email")
    assert (await jmap.error("Email/changes", sinceState=since, maxChanges=0))["type"] == "invalidArguments"


@rfc("8621", "4.3")
@must
async def test_fetching_changes_nothing(jmap: Jmap) -> None:
    email = await jmap.import_email(MIXED)
    state = await jmap.state("Email")
    await jmap.get("Email", email["id"], fetchAllBodyValues=True)
    await jmap.call("Email/parse", blobIds=[email["blobId"]])
    assert await jmap.state("Email") == state
