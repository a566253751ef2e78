"""Mail as people speak of it, against our server over a socket."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from client.world import World, new_world
from jmap import message
from veredus.client.errors import JMAPError, NotSupported
from veredus.client.mail import NotFound
from veredus.client.mail.files import safe_name
from veredus.client.mail_types import Email, EmailAddress
from veredus.client.results import SetErrors
from veredus.client.search import SearchError, UnknownMailbox

ATTACHED = b"""\
From: Bob <bob@example.org>
To: alice@example.com
Subject: with a file
Message-ID: <1@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

Look at this.
--b
Content-Type: application/pdf
Content-Disposition: attachment; filename="../../r\xc3\xa9sum\xc3\xa9.pdf"
Content-Transfer-Encoding: base64

JVBERi0xLjQ=
--b--
""".replace(b"\n", b"\r\n")


async def test_a_mailbox_is_found_by_role_path_name_and_id(world: World) -> None:
    work = (await world.alice.create("Mailbox", name="Work", parentId=None))["id"]
    bills = (await world.alice.create("Mailbox", name="Bills", parentId=work))["id"]
    async with world.connect() as client:
        for which in ("Work/Bills", "work/bills", "bills", bills):
            assert (await client.mail.mailbox(which)).id == bills
        assert (await client.mail.mailbox("inbox")).id == await world.inbox()
        assert {mailbox.id for mailbox in await client.mail.mailboxes()} >= {work, bills}
        with pytest.raises(UnknownMailbox, match="'Play'"):
            await client.mail.mailbox("Play")


async def test_a_search_gives_what_it_says_newest_first_and_pages_itself(world: World) -> None:
    ids = await world.add_emails(7)
    async with world.connect() as client:
        search = client.mail.search("in:inbox from:@example.org", properties=["subject"], page=3)
        assert [email.subject async for email in search] == list("6543210")
        assert [id async for id in search.ids()] == ids[::-1]
        assert [email.subject for email in await client.mail.search(limit=2, page=1).all()] == ["6", "5"]
        first = await client.mail.search("subject:3").first()
        assert first is not None
        assert first.id == ids[3]
        assert await client.mail.search("is:flagged").first() is None


async def test_a_search_that_means_nothing_is_refused_before_anything_is_sent(world: World) -> None:
    async with world.connect() as client:
        with pytest.raises(SearchError, match="at character 1: no operator 'form'"):
            client.mail.search("form:bob")
        with pytest.raises(UnknownMailbox, match="Play"):
            await client.mail.search("in:Play").all()


async def test_days_begin_in_the_zone_of_the_searcher(world: World) -> None:
    from zoneinfo import ZoneInfo

    [id] = await world.add_emails(1)  # received at 2026-03-01T00:00:00Z
    async with world.connect() as client:
        for zone, found in ((UTC, [id]), (ZoneInfo("America/New_York"), [])):
            search = client.mail.search("on:2026-03-01", zone=zone)
            assert [each async for each in search.ids()] == found


async def test_keywords_are_set_one_by_one_and_others_stay(world: World) -> None:
    ids = await world.add_emails(2)
    odd = "a/b~c"
    async with world.connect() as client:
        mail = client.mail
        await mail.set_keywords(ids, add=[odd, "$seen"])
        await mail.flag(await mail.get(ids[0]))
        await mail.set_keywords(ids[0], remove=[odd])
        await mail.mark_unread(ids[1])
        assert [(await mail.get(id, ["keywords"])).keywords for id in ids] == [{"$seen", "$flagged"}, {odd}]
        await mail.unflag(ids)
        await mail.mark_read(await mail.search().all())
        assert [(await mail.get(id, ["keywords"])).keywords for id in ids] == [{"$seen"}, {odd, "$seen"}]


async def test_emails_go_where_they_are_moved_in_pieces_that_the_server_takes(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_set=2, max_objects_in_get=2) as world:
        ids = [id for _ in range(3) for id in await world.add_emails(2)][:5]
        async with world.connect() as client:
            mail = client.mail
            archive, trash, inbox = [await mail.mailbox(role) for role in ("archive", "trash", "inbox")]
            await mail.move(ids[:4], archive)
            await mail.add_to(ids[0], inbox)
            await mail.remove_from([ids[0]], "archive")
            assert await mailboxes(client, ids[:2]) == [{inbox.id}, {archive.id}]
            result = await mail.trash(ids)
            assert sorted(result.updated) == sorted(ids)
            assert await mailboxes(client, ids) == [{trash.id}] * 5
            assert (await mail.destroy(ids)).destroyed == ids
            assert (await mail.destroy([])).destroyed == []


async def mailboxes(client, ids):
    by_id = {email.id: email for email in (await client.get(Email, ids, ["mailboxIds"])).list}
    return [by_id[id].mailbox_ids for id in ids]


async def test_what_a_search_finds_is_moved_as_a_whole(world: World) -> None:
    ids = await world.add_emails(5)
    async with world.connect() as client:
        result = await client.mail.move(client.mail.search("in:inbox -subject:3", page=2), "archive")
        assert sorted(result.updated) == sorted({*ids} - {ids[3]})
        assert [id async for id in client.mail.search("in:inbox").ids()] == [ids[3]]


async def test_what_fails_is_told_by_id_and_hides_no_success(world: World) -> None:
    ids = await world.add_emails(2)
    async with world.connect() as client:
        with pytest.raises(SetErrors, match="nobody: notFound") as caught:
            await client.mail.trash([ids[0], "nobody", ids[1]])
        assert list(caught.value.errors) == ["nobody"]
        assert sorted(caught.value.result.updated) == sorted(ids)
        for missing in (client.mail.get("nobody"), client.mail.thread("nobody")):
            with pytest.raises(NotFound, match="there is no Email nobody"):
                await missing


@pytest.mark.parametrize("form", ["bytes", "file", "iterator"])
async def test_a_message_comes_out_as_it_went_in(world: World, tmp_path: Path, form: str) -> None:
    (tmp_path / "in.eml").write_bytes(ATTACHED)

    async def chunks():
        for at in range(0, len(ATTACHED), 100):
            yield ATTACHED[at : at + 100]

    data = {"bytes": ATTACHED, "file": tmp_path / "in.eml", "iterator": chunks()}[form]
    at = datetime(2026, 4, 1, tzinfo=UTC)
    async with world.connect() as client:
        made = await client.mail.import_message(data, "archive", ["$seen"], at)
        email = await client.mail.get(made, text=True)
        assert email.text().strip() == "Look at this."
        assert (email.keywords, email.received_at) == ({"$seen"}, at)
        for given in (made, made.id):
            async with client.mail.raw(given) as raw:
                assert raw.type == "message/rfc822"
                assert b"".join([chunk async for chunk in raw]) == ATTACHED
        assert (await client.mail.save(made, tmp_path)).read_bytes() == ATTACHED


async def test_an_attachment_is_saved_where_the_user_says_and_never_over_a_file(
    world: World, tmp_path: Path
) -> None:
    inside = tmp_path / "a" / "b" / "c"
    inside.mkdir(parents=True)
    async with world.connect() as client:
        email = await client.mail.import_message(ATTACHED)
        [part] = await client.mail.attachments(email)
        paths = [await client.mail.save(part, inside) for _ in range(3)]
        assert {path.parent for path in paths} == {inside}
        assert [path.read_bytes() for path in paths] == [b"%PDF-1.4"] * 3
        named = await client.mail.save(part, tmp_path / "mine.pdf")
        with pytest.raises(FileExistsError):
            await client.mail.save(part, named)
        assert named.read_bytes() == b"%PDF-1.4"
        gone = type(part)({**part.json, "blobId": "Gnothing"})
        with pytest.raises(JMAPError):
            await client.mail.save(gone, tmp_path / "gone.pdf")
        assert not (tmp_path / "gone.pdf").exists()


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        (".bashrc", "bashrc"),
        ("a\u202egpj.exe", "a_gpj.exe"),
        ("a\r\nb.txt", "a__b.txt"),
        ("..", "unnamed"),
        (None, "unnamed"),
        ("ü" * 300 + ".pdf", "ü" * 98 + ".pdf"),
        ("CON.\0txt", "CON._txt"),
    ],
)
def test_a_name_that_a_stranger_chose_is_a_plain_file(name: str | None, safe: str) -> None:
    assert safe_name(name) == safe


async def test_a_thread_is_read_in_its_order(world: World) -> None:
    async with world.connect() as client:
        first = await client.mail.import_message(message("Plan", Message_ID="<1@x>"))
        second = await client.mail.import_message(
            message("Re: Plan", Message_ID="<2@x>", In_Reply_To="<1@x>", References="<1@x>")
        )
        thread = await client.mail.thread(second, ["subject"])
        assert [email.id for email in thread] == [first.id, second.id]
        assert [email.subject for email in thread] == ["Plan", "Re: Plan"]


async def test_a_draft_holds_what_was_composed(world: World, tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF")
    async with world.connect() as client:
        question = await client.mail.import_message(message("Lunch?", Message_ID="<1@x>"))
        question = await client.mail.get(question, ["messageId", "references"])
        draft = client.mail.compose(
            to=["Bob <bob@example.org>, carol@example.org", EmailAddress("dan@example.org")],
            subject="Re: Lunch?",
            text="Yes.\n",
            html="<p>Yes.</p>",
            in_reply_to=question,
        )
        await draft.attach(tmp_path / "a.pdf")
        await draft.attach(b"x", "note.txt")
        before = await draft.save()
        saved = await draft.save()
        with pytest.raises(NotFound):
            await client.mail.get(before)
        email = await client.mail.get(saved, text=True)
        assert email.to == [
            EmailAddress("bob@example.org", "Bob"),
            EmailAddress("carol@example.org"),
            EmailAddress("dan@example.org"),
        ]
        assert email.from_ == [EmailAddress("alice@example.com")]
        assert email.text().strip() == "Yes."
        assert [(part.name, part.type) for part in email.attachments] == [
            ("a.pdf", "application/pdf"),
            ("note.txt", "text/plain"),
        ]
        assert (email.in_reply_to, email.references) == (["1@x"], ["1@x"])
        assert email.keywords == {"$draft", "$seen"}
        assert email.mailbox_ids == {(await client.mail.mailbox("drafts")).id}
        if "urn:ietf:params:jmap:submission" not in client.session.capabilities:
            with pytest.raises(NotSupported, match="submission"):
                await draft.send()


async def test_what_is_no_address_is_refused(world: World) -> None:
    async with world.connect() as client:
        for wrong in ("bob", "", EmailAddress("a@b\r\nBcc: c@d"), ["a@b", "nobody"]):
            with pytest.raises(ValueError, match="address"):
                client.mail.compose(to=wrong or ["x"])


async def test_a_copy_goes_to_another_account(world: World) -> None:
    await world.app.add_account("bob@example.com", None)
    bob = (await world.app.directory.accounts("bob@example.com"))[0].id
    await world.app.accounts.grant("alice@example.com", bob, "write")
    world.app.directory.drop()
    ids = await world.add_emails(2)
    async with world.connect() as client:
        await client.mail.flag(ids)
        result = await client.mail.copy(ids, "inbox", bob)
        assert sorted(result.created) == sorted(ids)
        there = await client.mail.of(bob).search("is:flagged", properties=["subject"]).all()
        assert sorted(email.subject for email in there) == ["0", "1"]
        with pytest.raises(SetErrors, match="nobody: notFound"):
            await client.mail.copy("nobody", "inbox", bob)
