"""What a program sees of an Email, of every generation, and of parts that are not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from bridge.consumer.conftest import HTML, PDF, TEXT, Written
from veredus.bridge.consumer import (
    Address,
    DigestMismatch,
    Mail,
    MailStream,
    NoSuchPart,
    NotOurs,
    PartFailed,
    PartMissing,
    PartSkipped,
)
from veredus.bridge.nats.jetstream import purge
from veredus.bridge.wire.parts import Outcome


async def all_of(nc: Client, **options: Any) -> list[Mail]:
    async with asyncio.timeout(20), MailStream(nc, "JMAP_EMAILS", follow=False, **options) as mails:
        return [mail async for mail in mails]


@asynccontextmanager
async def only(nc: Client) -> AsyncIterator[Mail]:
    [mail] = await all_of(nc)
    async with asyncio.timeout(20):
        yield mail


@pytest.mark.parametrize("wire", ["0a", "0", "1"])
async def test_a_mail_is_the_same_in_every_generation(written: Written, wire: str) -> None:
    await written.mail("e1", wire)
    async with only(written.nc) as mail:
        assert (mail.id, mail.account, mail.thread_id, mail.size) == ("e1", "a1", "T1", 1234)
        assert mail.subject == "Überweisung ☃"
        assert mail.sender == Address("Zoë", "zoe@example.org")
        assert [one.email for one in mail.recipients] == ["alice@example.com"]
        assert (mail.mailbox_ids, mail.keywords) == ({"m1"}, {"$seen"})
        assert mail.received_at == datetime(2026, 3, 2, 10, tzinfo=UTC)
        assert mail.has_attachment
        assert await mail.text() == "Grüße ☃\n"
        assert await mail.html() == "<p>Hi</p>"
        assert await mail.read(mail.attachment("*.pdf")) == b"%PDF" * 100_000


async def test_a_header_is_text_as_it_was_written(written: Written) -> None:
    await written.mail("e1")
    async with only(written.nc) as mail:
        assert mail.headers["Jmap-Subject"] == "Überweisung ☃"
        assert mail.headers["Jmap-From"] == "Zoë <zoe@example.org>"


async def test_a_payload_too_large_for_a_message_comes_whole(written: Written) -> None:
    people = [{"name": f"N{n}", "email": f"n{n}@example.org"} for n in range(50_000)]
    await written.mail("e1", to=people)
    async with only(written.nc) as mail:
        assert mail.headers["Jmap-Payload"] == "ref"
        assert len(mail.addresses("to")) == 50_000
        assert await mail.text() == "Grüße ☃\n"


async def test_a_large_payload_that_has_expired_is_told_and_the_rest_is_there(written: Written) -> None:
    people = [{"name": f"N{n}", "email": f"n{n}@example.org"} for n in range(50_000)]
    await written.mail("e1", to=people)
    await written.objects.delete("a1/e1/_email.json")
    async with only(written.nc) as mail:
        assert isinstance(mail.incomplete, PartMissing)
        assert (mail.id, mail.subject) == ("e1", "Überweisung ☃")
        with pytest.raises(PartMissing, match="a1/e1/_email"):
            await mail.text()


async def test_an_attachment_is_streamed_and_saved_whole(written: Written, tmp_path: Path) -> None:
    await written.mail("e1")
    async with only(written.nc) as mail:
        pieces = [len(chunk) async for chunk in mail.open(mail.attachment())]
        assert len(pieces) > 1
        assert sum(pieces) == 400_000
        await mail.save(mail.attachment(), tmp_path / "it.pdf")
        assert (tmp_path / "it.pdf").read_bytes() == b"%PDF" * 100_000


async def test_a_part_that_was_evicted_is_missing_and_leaves_no_file(
    written: Written, tmp_path: Path
) -> None:
    await written.mail("e1")
    await written.objects.delete(f"a1/e1/{PDF}")
    directory = tmp_path / "saved"
    directory.mkdir()
    async with only(written.nc) as mail:
        with pytest.raises(PartMissing, match="evicted, expired or deleted"):
            await mail.save(mail.attachment(), directory / "it.pdf")
    assert list(directory.iterdir()) == []


async def test_chunks_that_are_gone_are_a_missing_part_not_a_wait(written: Written) -> None:
    await written.mail("e1")
    info = await written.objects.info(f"a1/e1/{PDF}")
    assert info is not None
    await purge(written.link, "OBJ_email-parts", written.objects.chunks_of(info.nuid))
    async with only(written.nc) as mail:
        with pytest.raises(PartMissing):
            await mail.read(mail.attachment())


async def test_other_octets_than_were_stored_are_refused(written: Written) -> None:
    await written.mail("e1")
    info = await written.objects.info(f"a1/e1/{HTML}")
    assert info is not None
    chunks = written.objects.chunks_of(info.nuid)
    await purge(written.link, "OBJ_email-parts", chunks)
    await written.nc.jetstream().publish(chunks, b"<p>Ho</p>")
    async with only(written.nc) as mail:
        with pytest.raises(DigestMismatch):
            await mail.html()


async def test_what_became_of_a_part_is_told(written: Written) -> None:
    failed = Outcome.failed("download", "503")
    await written.outcome("e1", **{TEXT: failed, HTML: Outcome(skipped=True), PDF: Outcome(skipped=True)})
    async with only(written.nc) as mail:
        with pytest.raises(PartFailed, match="download: 503"):
            await mail.text()
        with pytest.raises(PartSkipped, match="max_per_part"):
            await mail.read(mail.attachment())
        with pytest.raises(NoSuchPart, match=r"\*\.zip"):
            mail.attachment("*.zip")


async def test_a_text_that_the_server_could_not_decode_is_read_as_it_came(written: Written) -> None:
    await written.objects.put("a1/e1/Bt", "Grüße".encode("latin-1"))
    outcome = Outcome(object_key="a1/e1/Bt", error="body value encoding problem: partId 1")
    await written.outcome("e1", **{TEXT: outcome})
    async with only(written.nc) as mail:
        mail.json["textBody"][0]["charset"] = "iso-8859-1"
        assert await mail.text() == "Grüße"


async def test_without_plain_text_the_html_is_made_text(written: Written) -> None:
    await written.mail("e1", textBody=[{"partId": "2", "blobId": HTML, "type": "text/html"}])
    async with only(written.nc) as mail:
        assert (await mail.text()).strip() == "Hi"


async def test_a_message_of_somebody_else_says_where_it_is(written: Written) -> None:
    await written.nc.jetstream().publish("jmap.email.a1", b"hello")
    with pytest.raises(NotOurs, match="message 1 of JMAP_EMAILS"):
        await all_of(written.nc)


async def test_one_account_is_read_in_every_generation(written: Written) -> None:
    await written.mail("e1", "0a")
    await written.mail("e2", "0a", account="a2")
    await written.mail("e3")
    await written.mail("e4", account="a2")
    assert [mail.id for mail in await all_of(written.nc, accounts=["a2"])] == ["e2", "e4"]
    assert [mail.id for mail in await all_of(written.nc, since=3)] == ["e3", "e4"]
    assert [mail.id for mail in await all_of(written.nc, since=datetime.now(UTC))] == []
