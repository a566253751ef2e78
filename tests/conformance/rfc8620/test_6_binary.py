"""Upload, download and copies of blobs, and who sees them (RFC 8620 §6), over real sockets."""

import pytest

from jmap import Jmap, message
from sockets import browsers
from veredus.app import App

pytestmark = pytest.mark.rfc("8620", "6")


@pytest.mark.rfc("8620", "6.1")
@pytest.mark.must
async def test_an_upload_can_be_downloaded(app: App, jmap: Jmap) -> None:
    async with browsers(app, jmap) as (alice,):
        for data in (b"", b"hello", b"x" * 300_000):
            response = await alice.upload(data)
            assert response.status_code == 201
            blob = response.json()
            assert blob == {
                "accountId": jmap.account,
                "blobId": blob["blobId"],
                "type": "text/plain",
                "size": len(data),
            }
            download = await alice.download(blob["blobId"])
            assert download.content == data
            assert download.headers["content-type"] == "text/plain"
            assert "a.txt" in download.headers["content-disposition"]
            assert download.headers["cache-control"] == "private, immutable, max-age=31536000"


@pytest.mark.rfc("8620", "6.1")
@pytest.mark.must
async def test_an_upload_is_seen_by_its_uploader_only(app: App, jmap: Jmap, reader: Jmap) -> None:
    async with browsers(app, jmap, reader) as (alice, other):
        blob = (await alice.upload(message())).json()["blobId"]
        assert (await other.download(blob)).status_code == 404
        assert (await reader.call("Blob/get", ids=[blob]))["notFound"] == [blob]
        # A record refers to it: who sees the record sees the blob, and its parts.
        email = await jmap.import_email(message(), blobId=blob)
        part = (await jmap.get("Email", email["id"], properties=["textBody"]))["textBody"][0]["blobId"]
        assert (await other.download(blob)).status_code == 200
        assert (await other.download(part)).content == b"Text.\r\n"
        await jmap.call("Email/set", destroy=[email["id"]])
        # It is kept for its owner to restore, until that is ended, too (docs/undelete.md).
        jmap.using.append("urn:veredus:jmap:undelete")
        await jmap.set("DestroyedEmail", destroy=await jmap.query("DestroyedEmail"))
        assert (await other.download(blob)).status_code == 404
        assert (await other.download(part)).status_code == 404
        assert (await alice.download(part)).status_code == 200


async def test_blobs_of_other_accounts_do_not_exist(app: App, jmap: Jmap) -> None:
    from todo import todo_user

    bob = await todo_user(app, "bob@example.com")
    await jmap.import_email(message())
    email = (await jmap.call("Email/get", ids=None, properties=["blobId", "textBody"]))["list"][0]
    blob, part = email["blobId"], email["textBody"][0]["blobId"]
    async with browsers(app, jmap, bob) as (_, other):
        for id in (blob, part, "nope", "B" + "a" * 52):
            for account in (jmap.account, bob.account, "nope"):
                assert (await other.download(id, account)).status_code == 404
    for id in (blob, part):
        assert (await bob.call("Blob/get", ids=[id]))["notFound"] == [id]
        wanted = {"e": {"blobId": id, "mailboxIds": {await bob.mailbox("inbox"): True}}}
        error = (await bob.call("Email/import", emails=wanted))["notCreated"]["e"]
        assert error["type"] in ("blobNotFound", "invalidProperties")
        upload = await bob.call("Blob/upload", create={"b": {"data": [{"blobId": id}]}})
        assert upload["notCreated"]["b"]["type"] == "blobNotFound"
        copied = await bob.error("Blob/copy", fromAccountId=jmap.account, blobIds=[id])
        assert copied["type"] == "fromAccountNotFound"


@pytest.mark.must
async def test_who_may_only_read_cannot_upload(app: App, jmap: Jmap, reader: Jmap) -> None:
    async with browsers(app, reader) as (other,):
        assert (await other.upload(b"x")).status_code == 403
        assert (await other.upload(b"x", account="nope")).status_code == 404
    async with browsers(app, jmap, scope="read") as (alice,):
        assert (await alice.upload(b"x")).status_code == 403


@pytest.mark.rfc("8620", "6.3")
@pytest.mark.must
async def test_blobs_are_copied_between_accounts(jmap: Jmap, second: Jmap) -> None:
    email = await jmap.import_email(message())
    part = (await jmap.get("Email", email["id"], properties=["textBody"]))["textBody"][0]["blobId"]
    upload = await jmap.upload(b"attached")
    ids = [email["blobId"], part, upload, "nope", upload]
    response = await second.call("Blob/copy", fromAccountId=jmap.account, blobIds=ids)
    assert set(response["copied"]) == {email["blobId"], part, upload}
    assert response["notCopied"]["nope"]["type"] == "notFound"
    assert (response["fromAccountId"], response["accountId"]) == (jmap.account, second.account)
    copied = [response["copied"][id] for id in (part, upload)]
    found = (await second.call("Blob/get", ids=copied))["list"]
    assert [blob["data:asText"] for blob in found] == ["Text.\r\n", "attached"]


@pytest.mark.rfc("8620", "6.3")
async def test_nothing_to_copy_is_null(jmap: Jmap, second: Jmap) -> None:
    response = await second.call("Blob/copy", fromAccountId=jmap.account, blobIds=[])
    assert response["copied"] is response["notCopied"] is None
    ids = [f"x{n}" for n in range(1001)]
    error = await second.error("Blob/copy", fromAccountId=jmap.account, blobIds=ids)
    assert error["type"] == "requestTooLarge"


async def test_a_record_keeps_its_blob_and_lets_others_see_it(jmap: Jmap, reader: Jmap) -> None:
    """A BlobRef property of any type does what an Email does."""
    blob = await jmap.upload(b"attached")
    assert (await reader.call("Blob/get", ids=[blob]))["notFound"] == [blob]
    await jmap.call("Todo/set", create={"t": {"title": "a", "attachment": blob}})
    assert (await reader.call("Blob/get", ids=[blob]))["list"][0]["data:asText"] == "attached"
