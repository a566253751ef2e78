"""RFC 8621 §4.8: Email/import."""

from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap, message, new_user, open_server
from veredus.config.settings import Quota

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.8")


async def refused(jmap: Jmap, **wanted: Any) -> Any:
    """The SetError of one import; what is not given is right."""
    given = {
        "blobId": await jmap.upload(message()),
        "mailboxIds": {await jmap.mailbox("inbox"): True},
        **wanted,
    }
    response = await jmap.call(
        "Email/import", emails={"k": {name: v for name, v in given.items() if v is not ...}}
    )
    assert response["created"] is None
    assert await jmap.query("Email") == []
    return response["notCreated"]["k"]


@must
async def test_a_message_becomes_an_email(jmap: Jmap) -> None:
    inbox, archive = await jmap.mailbox("inbox"), await jmap.mailbox("archive")
    data = message("Hello")
    blob = await jmap.upload(data)
    state = await jmap.state("Email")
    wanted = {
        "blobId": blob, "mailboxIds": {inbox: True, archive: True}, "keywords": {"$Flagged": True},
        "receivedAt": "2020-02-02T02:02:02Z",
    }  # fmt: skip
    response = await jmap.call("Email/import", ifInState=state, emails={"k": wanted})
    assert (response["oldState"], response["newState"]) == (state, await jmap.state("Email"))
    assert response["notCreated"] is None
    made = response["created"]["k"]
    assert set(made) == {"id", "blobId", "threadId", "size"}
    assert (made["blobId"], made["size"]) == (blob, len(data))
    email = await jmap.get("Email", made["id"])
    assert (email["mailboxIds"], email["keywords"]) == ({inbox: True, archive: True}, {"$flagged": True})
    assert (email["receivedAt"], email["subject"]) == ("2020-02-02T02:02:02Z", "Hello")


@must
@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (
            ["by a; Tue, 2 Jan 2024 10:00:00 +0100", "by b; Mon, 1 Jan 2024 10:00:00 +0100"],
            "2024-01-02T09:00:00Z",
        ),
        (["by a (x; y);\r\n Tue, 2 Jan 2024 10:00:00 -0000"], "2024-01-02T10:00:00Z"),
        (["without a date", "by b; Mon, 1 Jan 2024 10:00:00 +0100"], "2024-01-01T09:00:00Z"),
        (["by a; nonsense"], None),
        (["by a; Mon, 1 Jan 0001 00:00:00 +1200"], None),
        ([], None),
    ],
)
async def test_received_at_is_that_of_the_newest_received_field(
    jmap: Jmap, received: list[str], expected: str | None
) -> None:
    head = "".join(f"Received: {value}\r\n" for value in received).encode()
    made = await jmap.import_email(head + message())
    at = (await jmap.get("Email", made["id"]))["receivedAt"]
    assert at == expected or (expected is None and at > "2026-01-01")


@must
@pytest.mark.parametrize(
    ("wanted", "bad"),
    [
        ({"blobId": "nothing"}, "blobId"),
        ({"blobId": 5}, "blobId"),
        ({"blobId": ...}, "blobId"),
        ({"mailboxIds": {}}, "mailboxIds"),
        ({"mailboxIds": ...}, "mailboxIds"),
        ({"mailboxIds": {"nowhere": True}}, "mailboxIds"),
        ({"mailboxIds": {"nowhere": False}}, "mailboxIds"),
        ({"mailboxIds": ["x"]}, "mailboxIds"),
        ({"keywords": {"a b": True}}, "keywords"),
        ({"keywords": {"a": False}}, "keywords"),
        ({"keywords": ["a"]}, "keywords"),
        ({"receivedAt": "now"}, "receivedAt"),
        ({"receivedAt": 5}, "receivedAt"),
        ({"subject": "x"}, "subject"),
    ],
)
async def test_what_is_invalid_is_named(jmap: Jmap, wanted: dict[str, Any], bad: str) -> None:
    error = await refused(jmap, **wanted)
    assert (error["type"], error["properties"]) == ("invalidProperties", [bad])


@must
@pytest.mark.parametrize("data", [b"", b"no header field", b"\x00\x01\x02", b"\r\n\r\nSubject: x\r\n"])
async def test_what_is_no_message_is_an_invalid_email(jmap: Jmap, data: bytes) -> None:
    assert (await refused(jmap, blobId=await jmap.upload(data)))["type"] == "invalidEmail"


@must
async def test_blobs_of_others_do_not_exist(jmap: Jmap) -> None:
    other = await new_user(jmap.app, "other@example.com")
    error = await refused(jmap, blobId=await other.upload(message("secret")))
    assert error["properties"] == ["blobId"]


@must
async def test_each_email_is_imported_for_itself(jmap: Jmap) -> None:
    box = {"mailboxIds": {await jmap.mailbox("inbox"): True}}
    good = {"blobId": await jmap.upload(message()), **box}
    response = await jmap.call(
        "Email/import", emails={"good": good, "bad": {"blobId": "x", **box}, "again": good}
    )
    assert set(response["created"]) == {"good", "again"}
    assert set(response["notCreated"]) == {"bad"}
    # Duplicates are allowed, and lead lives of their own.
    first, second = (response["created"][key]["id"] for key in ("good", "again"))
    assert first != second
    await jmap.update("Email", first, **{"keywords/$seen": True})
    assert (await jmap.get("Email", second))["keywords"] == {}


@must
async def test_an_old_state_is_refused(jmap: Jmap) -> None:
    wanted = {"blobId": await jmap.upload(message()), "mailboxIds": {await jmap.mailbox("inbox"): True}}
    error = await jmap.error("Email/import", ifInState="other", emails={"k": wanted})
    assert error["type"] == "stateMismatch"
    assert await jmap.query("Email") == []


@must
async def test_an_account_over_quota_takes_no_more(store: str, tmp_path: Path) -> None:
    async with open_server(store, tmp_path, quota=Quota(default_messages=1)) as app:
        jmap = await new_user(app)
        wanted = {"blobId": await jmap.upload(message()), "mailboxIds": {await jmap.mailbox("inbox"): True}}
        response = await jmap.call("Email/import", emails={"a": wanted, "b": wanted})
        assert len(response["created"]) == 1
        assert [error["type"] for error in response["notCreated"].values()] == ["overQuota"]
        assert len(await jmap.query("Email")) == 1


@must
async def test_internationalized_headers_work(jmap: Jmap) -> None:
    data = "From: Jürgen <jürgen@bücher.example>\r\nTo: 用户@例子.广告\r\nSubject: Grüße 世界\r\n\r\nText\r\n".encode()
    made = await jmap.import_email(data)
    email = await jmap.get("Email", made["id"])
    assert email["from"] == [{"name": "Jürgen", "email": "jürgen@bücher.example"}]
    assert email["to"] == [{"name": None, "email": "用户@例子.广告"}]
    assert email["subject"] == "Grüße 世界"
    assert await jmap.query("Email", filter={"from": "jürgen"}) == [made["id"]]


@must
@pytest.mark.parametrize("encoding", ["7bit", "base64"])
async def test_a_message_inside_another_is_imported(jmap: Jmap, encoding: str) -> None:
    from base64 import encodebytes

    inner = message("Inner", "Text inside.", Message_ID="<inner@x>")
    body = inner if encoding == "7bit" else encodebytes(inner).replace(b"\n", b"\r\n")
    outer = (
        b"Subject: Outer\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n"
    ) + body + b"\r\n--b--\r\n"  # fmt: skip
    email = await jmap.import_email(outer)
    part = (await jmap.get("Email", email["id"]))["attachments"][0]
    wanted = {"blobId": part["blobId"], "mailboxIds": {await jmap.mailbox("inbox"): True}}
    made = (await jmap.call("Email/import", emails={"k": wanted}))["created"]["k"]
    # It stands on its own: the outer one may go.
    await jmap.set("Email", destroy=[email["id"]])
    found = await jmap.get("Email", made["id"], fetchTextBodyValues=True)
    assert (found["subject"], found["size"]) == ("Inner", len(inner))
    assert next(iter(found["bodyValues"].values()))["value"] == "Text inside.\n"
    download = await jmap.app.engine.download(jmap.identity, jmap.account, found["blobId"])
    assert download is not None
    assert download.data == inner
