"""RFC 8621 §1.3.1: what the session says of mail; §4.10: the worked example."""

import json

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should

MAIL = "urn:ietf:params:jmap:mail"


@rfc("8621", "1.3")
@must
async def test_the_mail_capability(jmap: Jmap) -> None:
    session = json.loads((await jmap.app.engine.session(jmap.identity, "http://test"))[0])
    assert session["capabilities"][MAIL] == {}
    assert session["primaryAccounts"][MAIL] == jmap.account
    found = session["accounts"][jmap.account]["accountCapabilities"][MAIL]
    assert set(found) == {
        "maxMailboxesPerEmail", "maxMailboxDepth", "maxSizeMailboxName", "maxSizeAttachmentsPerEmail",
        "emailQuerySortOptions", "mayCreateTopLevelMailbox",
    }  # fmt: skip
    assert found["maxSizeMailboxName"] >= 100
    assert found["mayCreateTopLevelMailbox"] is True
    for name in found["emailQuerySortOptions"]:
        await jmap.query("Email", sort=[{"property": name, "keyword": "$seen"}])


@rfc("8621", "1.3")
@must
async def test_without_the_capability_there_is_no_mail(jmap: Jmap) -> None:
    jmap.using = ["urn:ietf:params:jmap:core"]
    for method in ("Mailbox/get", "Thread/get", "Email/get", "Email/import", "SearchSnippet/get"):
        assert (await jmap.error(method))["type"] == "unknownMethod"


@rfc("8621", "4.10")
@must
async def test_a_client_opens_its_inbox(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    for n in range(3):
        await jmap.import_email(
            message("Big", Message_ID=f"<{n}@x>"), receivedAt=f"2024-01-0{n + 1}T00:00:00Z"
        )
    await jmap.import_email(message("Big", In_Reply_To="<2@x>"), receivedAt="2023-01-01T00:00:00Z")
    account = {"accountId": jmap.account}

    def of(call: str, name: str, path: str) -> dict[str, str]:
        return {"resultOf": call, "name": name, "path": path}

    query = {
        "filter": {"inMailbox": inbox}, "sort": [{"property": "receivedAt", "isAscending": False}], "collapseThreads": True,
    }  # fmt: skip
    properties = [
        "threadId",
        "mailboxIds",
        "keywords",
        "hasAttachment",
        "from",
        "subject",
        "receivedAt",
        "size",
        "preview",
    ]
    answers = (
        await jmap.request(
            ["Email/query", {**account, **query, "position": 0, "limit": 30, "calculateTotal": True}, "0"],
            [
                "Email/get",
                {**account, "#ids": of("0", "Email/query", "/ids"), "properties": ["threadId"]},
                "1",
            ],
            ["Thread/get", {**account, "#ids": of("1", "Email/get", "/list/*/threadId")}, "2"],
            [
                "Email/get",
                {**account, "#ids": of("2", "Thread/get", "/list/*/emailIds"), "properties": properties},
                "3",
            ],
        )
    )["methodResponses"]
    assert answers[0][1]["total"] == 3
    assert len(answers[2][1]["list"]) == 3
    assert [set(email) for email in answers[3][1]["list"]] == [{"id", *properties}] * 4
    first = answers[0][1]["ids"][0]
    await jmap.update("Email", first, **{"keywords/$seen": True})
    new = await jmap.import_email(message("New"))
    changes = await jmap.call("Email/changes", sinceState=answers[1][1]["state"], maxChanges=50)
    assert (changes["created"], changes["updated"], changes["destroyed"]) == ([new["id"]], [first], [])
    spliced = await jmap.call(
        "Email/queryChanges", sinceQueryState=answers[0][1]["queryState"], maxChanges=25, calculateTotal=True,
        upToId=answers[0][1]["ids"][-1], **query,
    )  # fmt: skip
    assert {"id": new["id"], "index": 0} in spliced["added"]
    assert spliced["total"] == 4


@rfc("8621", "4.10")
@must
async def test_a_draft_is_saved(jmap: Jmap) -> None:
    value = "I have the most brilliant plan. Let me tell you all about it. What we do is, we"
    made = await jmap.create(
        "Email",
        mailboxIds={await jmap.mailbox("drafts"): True},
        keywords={"$seen": True, "$draft": True},
        subject="World domination",
        receivedAt="2018-07-10T01:03:11Z",
        sentAt="2018-07-10T11:03:11+10:00",
        bodyStructure={"type": "text/plain", "partId": "bd48", "header:Content-Language": "en"},
        bodyValues={"bd48": {"value": value, "isTruncated": False}},
        **{"from": [{"name": "Joe Bloggs", "email": "joe@example.com"}]},
    )
    email = await jmap.get(
        "Email", made["id"], fetchTextBodyValues=True, bodyProperties=["partId", "language"]
    )
    assert email["textBody"][0]["language"] == ["en"]
    assert email["sentAt"] == "2018-07-10T11:03:11+10:00"
    assert email["from"] == [{"name": "Joe Bloggs", "email": "joe@example.com"}]
    assert email["bodyValues"][email["textBody"][0]["partId"]]["value"].rstrip("\n") == value
