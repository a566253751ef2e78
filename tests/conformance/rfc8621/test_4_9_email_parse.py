"""RFC 8621 §4.9: Email/parse."""

from base64 import encodebytes
from typing import Any

import pytest

from jmap import Jmap, message, new_user

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.9")

DEFAULT = (
    "messageId inReplyTo references sender from to cc bcc replyTo subject sentAt hasAttachment preview bodyValues "
    "textBody htmlBody attachments"
).split()


async def parse(jmap: Jmap, blob: str, **args: Any) -> Any:
    response = await jmap.call("Email/parse", blobIds=[blob], **args)
    assert (response["notParsable"], response["notFound"]) == (None, None)
    return response["parsed"][blob]


def enclosed(inner: bytes, encoding: str) -> bytes:
    body = inner if encoding == "7bit" else encodebytes(inner).replace(b"\n", b"\r\n")
    return (
        b"Subject: Outer\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n"
        b"--b%d\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: %s\r\n\r\n%s\r\n--b%d--\r\n"
    ) % (len(inner), len(inner), encoding.encode(), body, len(inner))


@must
async def test_the_default_properties(jmap: Jmap) -> None:
    email = await parse(jmap, await jmap.upload(message("Hello")))
    assert set(email) == set(DEFAULT)
    assert (email["subject"], email["bodyValues"]) == ("Hello", {})
    assert set(email["textBody"][0]) == set(
        "partId blobId size name type charset disposition cid language location".split()
    )


@must
async def test_metadata_is_null(jmap: Jmap) -> None:
    data = message()
    blob = await jmap.upload(data)
    names = ["id", "mailboxIds", "keywords", "receivedAt", "threadId", "blobId", "size"]
    assert await parse(jmap, blob, properties=names) == {
        **dict.fromkeys(names),
        "blobId": blob,
        "size": len(data),
    }


@must
async def test_every_property_can_be_had(jmap: Jmap) -> None:
    blob = await jmap.upload(message("Hello", "Text.", X_A="one"))
    names = ["headers", "bodyStructure", "bodyValues", "header:x-A:asText", "header:X-a:all", "header:X-B"]
    email = await parse(
        jmap,
        blob,
        properties=names,
        fetchAllBodyValues=True,
        maxBodyValueBytes=3,
        bodyProperties=["partId", "type"],
    )
    assert set(email) == set(names)
    assert (email["header:x-A:asText"], email["header:X-a:all"], email["header:X-B"]) == (
        "one",
        [" one"],
        None,
    )
    assert email["bodyValues"] == {
        email["bodyStructure"]["partId"]: {"value": "Tex", "isEncodingProblem": False, "isTruncated": True}
    }
    assert set(email["bodyStructure"]) == {"partId", "type"}


@must
async def test_values_of_bodies(jmap: Jmap) -> None:
    blob = await jmap.upload(message(body="<p>x</p>").replace(b"text/plain", b"text/html"))
    assert len((await parse(jmap, blob, fetchHTMLBodyValues=True))["bodyValues"]) == 1
    assert len((await parse(jmap, blob, fetchTextBodyValues=True))["bodyValues"]) == 1
    assert (await parse(jmap, blob))["bodyValues"] == {}


@must
async def test_blobs_that_are_missing_or_no_messages_are_listed(jmap: Jmap) -> None:
    good, bad = await jmap.upload(message()), await jmap.upload(b"\x00\x01 nothing")
    other = await new_user(jmap.app, "other@example.com")
    foreign = await other.upload(message("secret"))
    response = await jmap.call("Email/parse", blobIds=[good, bad, "nothing", foreign])
    assert set(response["parsed"]) == {good}
    assert (response["notParsable"], response["notFound"]) == ([bad], ["nothing", foreign])
    response = await jmap.call("Email/parse", blobIds=[])
    assert (response["parsed"], response["notParsable"], response["notFound"]) == (None, None, None)


@must
@pytest.mark.parametrize(
    "args",
    [
        {"properties": ["header:From:asDate"]}, {"properties": ["colour"]}, {"bodyProperties": ["colour"]},
        {"bodyProperties": ["header:To:asURLs"]}, {"maxBodyValueBytes": -1}, {"properties": "subject"},
    ],
)  # fmt: skip
async def test_wrong_arguments_are_refused(jmap: Jmap, args: dict[str, Any]) -> None:
    blob = await jmap.upload(message())
    assert (await jmap.error("Email/parse", blobIds=[blob], **args))["type"] == "invalidArguments"


@must
@pytest.mark.parametrize("encoding", ["7bit", "base64"])
@pytest.mark.parametrize("inner_encoding", ["7bit", "base64"])
async def test_enclosed_messages_open_all_the_way_down(
    jmap: Jmap, encoding: str, inner_encoding: str
) -> None:
    core = message("Core", "Grüße", Content_Type="text/plain; charset=utf-8")
    email = await jmap.import_email(enclosed(enclosed(core, inner_encoding), encoding))
    blob = (await jmap.get("Email", email["id"]))["attachments"][0]["blobId"]
    middle = await parse(jmap, blob)
    assert middle["subject"] == "Outer"
    inner = await parse(jmap, middle["attachments"][0]["blobId"], fetchTextBodyValues=True)
    assert inner["subject"] == "Core"
    assert next(iter(inner["bodyValues"].values()))["value"] == "Grüße\n"
    found = await jmap.app.engine.download(jmap.identity, jmap.account, inner["textBody"][0]["blobId"])
    assert found is not None
    assert found.data == "Grüße\r\n".encode()


@must
async def test_internationalized_headers_work(jmap: Jmap) -> None:
    blob = await jmap.upload("From: Jürgen <jürgen@bücher.example>\r\nSubject: 世界\r\n\r\n".encode())
    email = await parse(jmap, blob, properties=["from", "subject"])
    assert email == {"from": [{"name": "Jürgen", "email": "jürgen@bücher.example"}], "subject": "世界"}


@must
async def test_a_reader_may_parse(reader: Jmap, jmap: Jmap) -> None:
    email = await jmap.import_email(enclosed(message("Core"), "base64"))
    blob = (await reader.get("Email", email["id"]))["attachments"][0]["blobId"]
    inner = await parse(reader, blob, fetchTextBodyValues=True)
    assert inner["subject"] == "Core"
