"""RFC 8621 §4.6: Email/set, creating drafts."""

from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap, message, new_user, open_server
from veredus.config.settings import Limits, Quota

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.6")

VALUES = {"bodyValues": {"t": {"value": "Text\nüber all"}, "h": {"value": "<p>Text</p>"}}}
TEXT = {"textBody": [{"partId": "t", "type": "text/plain"}], **VALUES}


async def draft(jmap: Jmap, **properties: Any) -> Any:
    """What a created draft looks like."""
    box = {await jmap.mailbox("drafts"): True}
    made = await jmap.create("Email", **{"mailboxIds": box, "keywords": {"$draft": True}, **properties})
    assert set(made) == {"id", "blobId", "threadId", "size"}
    names = ["headers", "from", "to", "subject", "sentAt", "messageId", "textBody", "htmlBody", "attachments"]
    return await jmap.get(
        "Email", made["id"], properties=[*names, "bodyValues", "bodyStructure", "keywords", "receivedAt", "size", "blobId"],
        fetchAllBodyValues=True, bodyProperties=["partId", "type", "charset", "size", "name", "disposition", "cid", "header:X-P"],
    )  # fmt: skip


async def refused(jmap: Jmap, **properties: Any) -> Any:
    box = {await jmap.mailbox("drafts"): True}
    error = await jmap.refused("Email", "create", {"mailboxIds": box, **properties})
    assert await jmap.query("Email") == []
    return error


@must
async def test_a_draft_of_text(jmap: Jmap) -> None:
    email = await draft(
        jmap, subject="Grüße", to=[{"name": "Jörg, x", "email": "j@example.com"}], receivedAt="2024-01-01T00:00:00Z",
        sentAt="2018-07-10T11:03:11+10:00", **{"from": [{"email": "me@example.com"}]}, **TEXT,
    )  # fmt: skip
    assert email["subject"] == "Grüße"
    assert email["to"] == [{"name": "Jörg, x", "email": "j@example.com"}]
    assert email["from"] == [{"name": None, "email": "me@example.com"}]
    assert (email["receivedAt"], email["sentAt"]) == ("2024-01-01T00:00:00Z", "2018-07-10T11:03:11+10:00")
    part = email["textBody"][0]
    assert (part["type"], part["charset"].lower()) == ("text/plain", "utf-8")
    assert email["bodyValues"][part["partId"]]["value"].rstrip("\n") == "Text\nüber all"
    assert email["attachments"] == []


@must
async def test_message_id_and_date_are_generated(jmap: Jmap) -> None:
    first, second = [await draft(jmap, **TEXT) for _ in range(2)]
    for email in (first, second):
        assert len(email["messageId"]) == 1
        assert email["messageId"][0].endswith("@mail.example.com")
        assert email["sentAt"] is not None
    assert first["messageId"] != second["messageId"]


@must
async def test_given_ids_are_kept(jmap: Jmap) -> None:
    email = await draft(jmap, messageId=["mine@x"], inReplyTo=["a@x"], references=["a@x", "b@x"])
    assert email["messageId"] == ["mine@x"]
    names = [field["name"].lower() for field in email["headers"]]
    assert names.count("message-id") == 1


@must
async def test_text_html_and_attachments_make_a_structure(jmap: Jmap) -> None:
    blob = await jmap.upload(b"\x89PNG\0\xff", "image/png")
    email = await draft(
        jmap, **TEXT, htmlBody=[{"partId": "h", "type": "text/html"}],
        attachments=[{"blobId": blob, "type": "image/png", "name": "bild ü.png", "disposition": "attachment", "size": 99}],
    )  # fmt: skip
    assert [part["type"] for part in email["textBody"]] == ["text/plain"]
    assert [part["type"] for part in email["htmlBody"]] == ["text/html"]
    attached = email["attachments"][0]
    assert (attached["name"], attached["size"], attached["disposition"]) == ("bild ü.png", 6, "attachment")


@must
async def test_a_body_structure_is_built_as_given(jmap: Jmap) -> None:
    blob = await jmap.upload(message("inner"), "message/rfc822")
    structure = {
        "type": "multipart/mixed",
        "subParts": [
            {"type": "multipart/alternative", "subParts": [
                {"partId": "h", "type": "text/html", "header:X-P": " yes"}, {"partId": "t", "type": "text/plain"},
            ]},
            {"blobId": blob, "type": "message/rfc822", "cid": "c@x"},
        ],
    }  # fmt: skip
    root = (await draft(jmap, bodyStructure=structure, **VALUES))["bodyStructure"]
    assert root["type"] == "multipart/mixed"
    inner, attached = root["subParts"]
    assert [part["type"] for part in inner["subParts"]] == ["text/html", "text/plain"]
    assert inner["subParts"][0]["header:X-P"].strip() == "yes"
    assert (attached["type"], attached["cid"]) == ("message/rfc822", "c@x")


@must
async def test_header_properties_of_every_form(jmap: Jmap) -> None:
    given = {
        "header:X-Raw": " a b",
        "header:X-Text:asText": "Grüße",
        "header:Resent-To:asGroupedAddresses": [
            {"name": "All", "addresses": [{"name": None, "email": "a@x.example"}]}
        ],
        "header:X-Refs:asMessageIds": ["a@x", "b@x"],
        "header:Resent-Date:asDate": "2024-01-01T00:00:00Z",
        "header:List-Post:asURLs": ["mailto:l@example.com"],
        "header:X-Many:asText:all": ["one", "two"],
    }
    made = await jmap.create("Email", mailboxIds={await jmap.mailbox("drafts"): True}, **given)
    found = await jmap.get("Email", made["id"], properties=list(given))
    assert {name: found[name] for name in given} == given


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "headers on the Email": ({"headers": [{"name": "X", "value": " y"}]}, "headers"),
    "headers on a part": ({"bodyStructure": {"type": "text/plain", "partId": "t", "headers": []}, **VALUES}, "bodyStructure/headers"),
    "one field twice": ({"subject": "a", "header:Subject:asText": "b"}, "header:Subject:asText"),
    "one field twice in other case": ({"header:X-A": " a", "header:x-a:asText": "b"}, "header:x-a:asText"),
    "a forbidden form": ({"header:From:asDate": "2024-01-01T00:00:00Z"}, "header:From:asDate"),
    "a malformed form": ({"header:X:asNothing": "x"}, "header:X:asNothing"),
    "Content- at the top": ({"header:Content-Language": " de"}, "header:Content-Language"),
    "bodyStructure and textBody": ({"bodyStructure": {"type": "text/plain", "partId": "t"}, **TEXT}, "textBody"),
    "bodyStructure and attachments": ({"bodyStructure": {"type": "text/plain", "partId": "t"}, "attachments": [], **VALUES}, "attachments"),
    "a top field in bodyStructure": (
        {"subject": "a", "bodyStructure": {"type": "text/plain", "partId": "t", "header:Subject": " b"}, **VALUES},
        "bodyStructure/header:Subject",
    ),
    "two text bodies": ({"textBody": [{"partId": "t", "type": "text/plain"}] * 2, **VALUES}, "textBody"),
    "no text body": ({"textBody": []}, "textBody"),
    "text body of another type": ({"textBody": [{"partId": "h", "type": "text/html"}], **VALUES}, "textBody/0/type"),
    "html body of another type": ({"htmlBody": [{"partId": "t", "type": "text/plain"}], **VALUES}, "htmlBody/0/type"),
    "partId and blobId": ({"textBody": [{"partId": "t", "blobId": "BLOB", "type": "text/plain"}], **VALUES}, "textBody/0"),
    "neither": ({"textBody": [{"type": "text/plain"}]}, "textBody/0"),
    "partId without value": ({"textBody": [{"partId": "no", "type": "text/plain"}]}, "textBody/0/partId"),
    "partId with charset": ({"textBody": [{"partId": "t", "type": "text/plain", "charset": "utf-8"}], **VALUES}, "textBody/0/charset"),
    "partId with size": ({"textBody": [{"partId": "t", "type": "text/plain", "size": 3}], **VALUES}, "textBody/0/size"),
    "transfer encoding": (
        {"textBody": [{"partId": "t", "type": "text/plain", "header:Content-Transfer-Encoding": " 8bit"}], **VALUES},
        "textBody/0/header:Content-Transfer-Encoding",
    ),
    "encoding problem": (
        {"textBody": [{"partId": "t", "type": "text/plain"}], "bodyValues": {"t": {"value": "x", "isEncodingProblem": True}}},
        "bodyValues/t",
    ),
    "truncated": (
        {"textBody": [{"partId": "t", "type": "text/plain"}], "bodyValues": {"t": {"value": "x", "isTruncated": True}}},
        "bodyValues/t",
    ),
    "unknown": ({"colour": "red"}, "colour"),
    "server-set": ({"size": 5}, "size"),
    "id": ({"id": "e5"}, "id"),
    "preview": ({"preview": "x"}, "preview"),
    "subject of a wrong type": ({"subject": 5}, "subject"),
    "addresses of a wrong type": ({"to": ["a@example.com"]}, "to"),
    "line breaks in a field": ({"header:X-A": " a\r\nBcc: evil@example.com"}, "header:X-A"),
    "bad date": ({"sentAt": "yesterday"}, "sentAt"),
    "bad receivedAt": ({"receivedAt": "2024-01-01T00:00:00+01:00"}, "receivedAt"),
    "bad keyword": ({"keywords": {"a b": True}}, "keywords"),
    "false keyword": ({"keywords": {"a": False}}, "keywords"),
    "no mailbox": ({"mailboxIds": {}}, "mailboxIds"),
    "null mailboxes": ({"mailboxIds": None}, "mailboxIds"),
    "unknown mailbox": ({"mailboxIds": {"nowhere": True}}, "mailboxIds"),
    "list of mailboxes": ({"mailboxIds": ["x"]}, "mailboxIds"),
    "unknown creation id": ({"mailboxIds": {"#nowhere": True}}, "mailboxIds"),
}  # fmt: skip


@must
@pytest.mark.parametrize("case", CASES)
async def test_each_constraint_is_kept(jmap: Jmap, case: str) -> None:
    properties, bad = CASES[case]
    if "BLOB" in str(properties):
        properties = {
            **properties,
            "textBody": [{**properties["textBody"][0], "blobId": await jmap.upload(b"x")}],
        }
    error = await refused(jmap, **properties)
    assert error["type"] == "invalidProperties"
    assert any(bad.startswith(name) or name.startswith(bad) for name in error["properties"]), error


@must
async def test_mailboxes_are_needed(jmap: Jmap) -> None:
    error = await jmap.refused("Email", "create", {"subject": "x"})
    assert (error["type"], error["properties"]) == ("invalidProperties", ["mailboxIds"])


@must
async def test_all_missing_blobs_are_named(jmap: Jmap) -> None:
    there = await jmap.upload(b"x", "text/plain")
    parts = [{"blobId": id, "type": "image/png"} for id in ("no1", there, "no2")]
    error = await refused(jmap, attachments=parts)
    assert error["type"] == "blobNotFound"
    assert sorted(error["notFound"]) == ["no1", "no2"]


@must
async def test_blobs_of_others_are_not_found(jmap: Jmap) -> None:
    other = await new_user(jmap.app, "other@example.com")
    blob = await other.upload(b"secret", "text/plain")
    error = await refused(jmap, attachments=[{"blobId": blob, "type": "text/plain"}])
    assert (error["type"], error["notFound"]) == ("blobNotFound", [blob])


@must
async def test_parts_of_other_emails_can_be_attached(jmap: Jmap) -> None:
    data = message("x", "aGVsbG8=", Content_Type="application/x-data", Content_Transfer_Encoding="base64")
    email = await jmap.import_email(data)
    part = (await jmap.get("Email", email["id"]))["attachments"][0]
    for blob, size in ((part["blobId"], 5), (email["blobId"], len(data))):
        made = await draft(jmap, **TEXT, attachments=[{"blobId": blob, "type": "application/x-data"}])
        assert made["attachments"][0]["size"] == size


@must
async def test_limits_have_errors_of_their_own(store: str, tmp_path: Path) -> None:
    quota = Quota(default_messages=2)
    limits = Limits(max_keywords_per_email=2, max_mailboxes_per_email=2, max_size_attachments_per_email=10)
    async with open_server(store, tmp_path, quota=quota, limits=limits) as app:
        jmap = await new_user(app)
        boxes = [await jmap.mailbox(role) for role in ("drafts", "inbox", "archive")]
        one = {boxes[0]: True}
        many = dict.fromkeys("abc", True)
        error = await jmap.refused("Email", "create", {"mailboxIds": one, "keywords": many})
        assert error["type"] == "tooManyKeywords"
        error = await jmap.refused("Email", "create", {"mailboxIds": dict.fromkeys(boxes, True)})
        assert error["type"] == "tooManyMailboxes"
        blob = await jmap.upload(b"x" * 11, "text/plain")
        attached = [{"blobId": blob, "type": "text/plain"}]
        error = await jmap.refused("Email", "create", {"mailboxIds": one, "attachments": attached})
        assert error["type"] == "tooLarge"
        email = (await jmap.create("Email", mailboxIds=one, subject="1"))["id"]
        assert (await jmap.refused("Email", "update", (email, {"keywords": many})))[
            "type"
        ] == "tooManyKeywords"
        error = await jmap.refused("Email", "update", (email, {"mailboxIds": dict.fromkeys(boxes, True)}))
        assert error["type"] == "tooManyMailboxes"
        await jmap.create("Email", mailboxIds=one, subject="2")
        assert (await jmap.refused("Email", "create", {"mailboxIds": one}))["type"] == "overQuota"
        assert len(await jmap.query("Email")) == 2


@must
async def test_each_draft_comes_in_whole_or_not_at_all(jmap: Jmap) -> None:
    box = {await jmap.mailbox("drafts"): True}
    state = await jmap.state("Email")
    done = await jmap.call(
        "Email/set",
        ifInState=state,
        create={"good": {"mailboxIds": box, "subject": "g"}, "bad": {"mailboxIds": box, "colour": "red"}},
        destroy=["nothing"],
    )
    assert set(done["created"]) == {"good"}
    assert set(done["notCreated"]) == {"bad"}
    assert done["notDestroyed"]["nothing"]["type"] == "notFound"
    assert (done["oldState"], done["newState"]) == (state, await jmap.state("Email"))
    error = await jmap.error("Email/set", ifInState=state, create={})
    assert error["type"] == "stateMismatch"


@must
async def test_a_mailbox_made_in_the_same_request_is_named_by_its_creation_id(jmap: Jmap) -> None:
    account = {"accountId": jmap.account}
    responses = (
        await jmap.request(
            ["Mailbox/set", {**account, "create": {"box": {"name": "New"}}}, "0"],
            ["Email/set", {**account, "create": {"mail": {"mailboxIds": {"#box": True}}}}, "1"],
            ["Email/set", {**account, "update": {"#mail": {"keywords/$seen": True}}}, "2"],
        )
    )["methodResponses"]
    box = responses[0][1]["created"]["box"]["id"]
    email = responses[1][1]["created"]["mail"]["id"]
    assert responses[2][1]["updated"] == {email: None}
    assert (await jmap.get("Email", email))["mailboxIds"] == {box: True}


@must
async def test_a_new_draft_may_replace_the_old_one(jmap: Jmap) -> None:
    """The second draft of §4.10."""
    box = {await jmap.mailbox("drafts"): True}
    old = (await jmap.create("Email", mailboxIds=box, subject="World domination"))["id"]
    done = await jmap.set(
        "Email", create={"k1546": {"mailboxIds": box, "subject": "World domination"}}, destroy=[old]
    )
    assert done["destroyed"] == [old]
    assert await jmap.query("Email") == [done["created"]["k1546"]["id"]]
