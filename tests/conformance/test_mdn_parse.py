"""MDN/parse (RFC 9007)."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from jmap import USING, Jmap, message, new_user
from veredus.app import App
from veredus.formats.report import Disposition, Mdn, Notification, write_mdn

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("9007", "2.2")

ID = "199509192301.23456@example.org"


@pytest.fixture
async def jmap(app: App) -> Jmap:
    user = await new_user(app)
    user.using = [*USING, "urn:ietf:params:jmap:mdn"]
    return user


def written(original: bytes | None = None, **values: Any) -> bytes:
    mdn = {
        "final_recipient": "rfc822; john@example.com",
        "original_message_id": ID,
        "disposition": Disposition("manual-action", "mdn-sent-manually", "displayed"),
        "reporting_ua": "joes-pc.cs.example.com; Foomail 97.1",
        **values,
    }
    notification = Notification(
        sender="john@example.com",
        to=("joe@example.com",),
        subject="Read receipt for: World domination",
        text="It has been displayed.\n",
        message_id="m@example.com",
        date=datetime(2026, 11, 21, tzinfo=UTC),
        mdn=Mdn(**mdn),
    )
    return write_mdn(notification, original)


async def parsed(jmap: Jmap, data: bytes) -> Any:
    blob = await jmap.upload(data)
    response = await jmap.call("MDN/parse", blobIds=[blob])
    assert (response["notParsable"], response["notFound"]) == (None, None)
    assert list(response["parsed"]) == [blob]
    return response["parsed"][blob]


@must
@rfc("9007", "3.3")
async def test_the_example_of_the_rfc(jmap: Jmap) -> None:
    sent = (await jmap.import_email(message("World domination", Message_ID=f"<{ID}>")))["id"]
    assert await parsed(jmap, written()) == {
        "forEmailId": sent,
        "subject": "Read receipt for: World domination",
        "textBody": "It has been displayed.\n",
        "includeOriginalMessage": False,
        "reportingUA": "joes-pc.cs.example.com; Foomail 97.1",
        "disposition": {
            "actionMode": "manual-action",
            "sendingMode": "mdn-sent-manually",
            "type": "displayed",
        },
        "mdnGateway": None,
        "originalRecipient": None,
        "finalRecipient": "rfc822; john@example.com",
        "originalMessageId": f"<{ID}>",
        "error": None,
        "extensionFields": None,
    }


@must
@rfc("9007", "2")
async def test_every_property_of_an_mdn(jmap: Jmap) -> None:
    data = written(
        message("World domination", Message_ID=f"<{ID}>"),
        original_recipient="rfc822; team@example.com",
        gateway="x400; gw.example.com",
        errors=("too large", "too late"),
        extension_fields={"X-Shown-On": "a small screen"},
    )
    mdn = await parsed(jmap, data)
    assert (mdn["forEmailId"], mdn["includeOriginalMessage"]) == (None, True)
    assert mdn["originalRecipient"] == "rfc822; team@example.com"
    assert mdn["mdnGateway"] == "x400; gw.example.com"
    assert mdn["error"] == ["too large", "too late"]
    assert mdn["extensionFields"] == {"X-Shown-On": "a small screen"}


@must
@rfc("9007", "2")
async def test_dispositions_are_in_lower_case(jmap: Jmap) -> None:
    data = written().replace(
        b"manual-action/mdn-sent-manually; displayed", b"Manual-Action/MDN-sent-manually;Displayed"
    )
    assert (await parsed(jmap, data))["disposition"] == {
        "actionMode": "manual-action",
        "sendingMode": "mdn-sent-manually",
        "type": "displayed",
    }


@must
async def test_what_is_no_mdn_is_told(jmap: Jmap) -> None:
    gone = "Gnobody"
    bad = [
        await jmap.upload(data)
        for data in (
            message(),
            b"",
            b"\x00\xff",
            written().replace(b"Disposition:", b"X:"),
            written().replace(b"displayed\r\n", b"sneezed\r\n"),
        )
    ]
    response = await jmap.call("MDN/parse", blobIds=[*bad, gone, gone])
    assert response == {"accountId": jmap.account, "parsed": None, "notParsable": bad, "notFound": [gone]}


async def test_the_blob_may_be_a_part_of_a_message(jmap: Jmap) -> None:
    encoded = b64encode(written())
    outer = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded + b"\r\n--b--\r\n"
    )
    email = await jmap.import_email(outer)
    got = await jmap.get("Email", email["id"], properties=["attachments"])
    blob = got["attachments"][0]["blobId"]
    assert (await jmap.call("MDN/parse", blobIds=[blob]))["parsed"][blob]["originalMessageId"] == f"<{ID}>"


async def test_an_email_that_several_could_be_is_not_named(jmap: Jmap) -> None:
    for _ in range(2):
        await jmap.import_email(message("World domination", Message_ID=f"<{ID}>"))
    assert (await parsed(jmap, written()))["forEmailId"] is None


async def test_too_many_blobs_are_refused(jmap: Jmap) -> None:
    limit = jmap.app.config.limits.max_objects_in_get
    error = await jmap.error("MDN/parse", blobIds=[f"G{number}" for number in range(limit + 1)])
    assert error["type"] == "requestTooLarge"


@must
async def test_an_account_that_is_not_there_is_refused(jmap: Jmap) -> None:
    response = await jmap.request(["MDN/parse", {"accountId": "nobody", "blobIds": []}, "0"])
    assert response["methodResponses"][0][1]["type"] == "accountNotFound"
