"""The client against our server, over a socket."""

from pathlib import Path

import pytest

from client.world import World, new_world
from veredus.client.errors import (
    LimitError,
    MethodError,
    NotFetchedError,
    NotSentError,
    NotSupported,
    TransportError,
    Unauthorized,
)
from veredus.client.mail_types import Email, EmailAddress, Mailbox, Thread
from veredus.client.results import SetErrors


async def test_a_batch_gives_results_by_name(world: World) -> None:
    await world.add_emails(3)
    async with world.connect() as client:
        async with client.batch() as batch:
            found = batch.query(Email, sort=[{"property": "receivedAt"}], limit=2)
            emails = batch.get(Email, found.ids_ref, ["threadId", "subject"])
            threads = batch.get(Thread, emails.each_ref("threadId"))
            with pytest.raises(NotSentError, match="Email/query"):
                found.ids  # noqa: B018
        assert [email.subject for email in emails.list] == ["0", "1"]
        assert [thread.email_ids for thread in threads.list] == [[email.id] for email in emails.list]
        assert found.ids == [email.id for email in emails.list]


async def test_a_record_says_what_was_not_fetched(world: World) -> None:
    await world.add_emails(1)
    async with world.connect() as client:
        email = await client.query(Email, properties=["from", "receivedAt", "inReplyTo"]).first()
    assert email is not None
    assert email.from_ == [EmailAddress("bob@example.org", "Bob")]
    assert str(email.from_[0]) == "Bob <bob@example.org>"
    assert email.in_reply_to is None
    assert email.received_at.isoformat() == "2026-03-01T00:00:00+00:00"
    with pytest.raises(NotFetchedError, match="'subject' of this Email was not fetched"):
        email.subject  # noqa: B018


@pytest.mark.parametrize("page", [1, 3, 7, 100])
async def test_a_query_gives_all_records_in_order(world: World, page: int) -> None:
    ids = await world.add_emails(7)
    async with world.connect() as client:
        query = client.query(Email, sort=[{"property": "receivedAt"}], page=page, properties=["id"])
        assert [email.id async for email in query] == ids
        assert [id async for id in query.ids()] == ids
        assert len(await client.query(Email, page=page, limit=5).all()) == 5


async def test_what_goes_or_comes_between_two_pages_hides_nothing(world: World) -> None:
    ids = await world.add_emails(9)
    seen = []
    async with world.connect() as client:
        async for email in client.query(Email, sort=[{"property": "receivedAt"}], page=3, properties=["id"]):
            seen.append(email.id)
            if len(seen) == 3:  # the anchor of the next page, and the one before it
                await world.alice.call("Email/set", destroy=ids[1:3])
            if len(seen) == 6:  # the whole page: no anchor is left but the position
                await world.alice.call("Email/set", destroy=ids[3:6])
    # With all anchors gone the position is what is left, and it is wrong by what went before it.
    assert seen[:6] == ids[:6]
    assert set(seen) <= set(ids)


async def test_a_get_is_cut_to_the_limit_and_a_set_is_not(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_get=2, max_objects_in_set=2) as world:
        ids = []
        for _ in range(3):
            ids += await world.add_emails(2)
        async with world.connect() as client:
            got = await client.get(Email, [*ids, "nobody"], ["id"])
            assert [email.id for email in got.list] == ids
            assert got.not_found == ["nobody"]
            assert {email.id for email in (await client.get(Email, None, ["id"])).list} == set(ids)
            with pytest.raises(LimitError, match="maxObjectsInSet = 2, this needs 6"):
                await client.set(Email, destroy=ids)
            result = await client.set(Email, destroy=ids, chunk=True)
            assert result.destroyed == ids


async def test_a_creation_id_holds_over_the_pieces_of_a_set(tmp_path: Path) -> None:
    async with new_world(tmp_path, max_objects_in_set=1) as world, world.connect() as client:
        create = {"a": {"name": "A", "parentId": None}, "b": {"name": "B", "parentId": "#a"}}
        made = (await client.set(Mailbox, create=create, chunk=True)).created
        inner = (await client.get(Mailbox, [made["b"]["id"]])).list[0]
        assert inner.parent_id == made["a"]["id"]


async def test_a_set_that_fails_in_part_says_what_it_did(world: World) -> None:
    ids = await world.add_emails(1)
    async with world.connect() as client:
        with pytest.raises(SetErrors, match=r"Email/set of account .*: nobody: notFound") as caught:
            await client.set(Email, destroy=[ids[0], "nobody"])
        assert caught.value.result.destroyed == ids
        assert caught.value.errors["nobody"]["type"] == "notFound"


async def test_a_failing_call_names_method_account_call_and_host(world: World) -> None:
    async with world.connect() as client:
        with pytest.raises(MethodError) as caught:
            await client.call("Email/query", {"filter": {"nonsense": 1}})
        error = caught.value
        assert (error.method, error.account, error.call_id) == ("Email/query", world.alice.account, "0")
        assert client.host in str(error)
        assert "unsupportedFilter" in str(error) or "invalidArguments" in str(error)
        async with client.batch(raise_errors=False) as batch:
            bad = batch.query(Email, {"nonsense": 1})
            good = batch.get(Mailbox)
        assert bad.error is not None
        assert good.list


async def test_a_wrong_token_is_told_from_a_missing_server(world: World) -> None:
    with pytest.raises(Unauthorized) as caught:
        async with world.connect(token="wrong"):
            pass
    assert caught.value.status == 401
    with pytest.raises(TransportError, match="cannot connect"):
        async with world.connect().connect("http://127.0.0.1:9/", token="x"):
            pass


async def test_a_capability_that_is_not_there_is_named(world: World) -> None:
    async with world.connect() as client:
        with pytest.raises(NotSupported, match="urn:ietf:params:jmap:contacts"):
            await client.get("ContactCard")
        with pytest.raises(NotSupported, match="urn:example:foo"):
            await client.call("Foo/get", {"accountId": "a"}, using="urn:example:foo")


async def test_a_token_file_is_read_again_when_it_changes(world: World, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f" {world.token}\n")
    async with world.connect(token=None, token_file=file) as client:
        await client.get(Mailbox)
        file.write_text("old\n")
        with pytest.raises(Unauthorized):
            await client.get(Mailbox)
        file.write_text(world.token)
        assert (await client.get(Mailbox)).list


async def test_the_session_follows_the_server(world: World) -> None:
    async with world.connect() as client:
        assert len(client.session.accounts) == 1
        await world.app.add_account("bob@example.com", None)
        bob = (await world.app.directory.accounts("bob@example.com"))[0].id
        await world.app.accounts.grant("alice@example.com", bob, "read")
        world.app.directory.drop()
        await client.get(Mailbox)  # the answer says that the session has changed
        await client.get(Mailbox)
        assert bob in client.session.accounts


async def test_octets_go_up_and_come_down_as_they_are(world: World, tmp_path: Path) -> None:
    octets = bytes(range(256)) * 5000
    (tmp_path / "a.bin").write_bytes(octets)

    async def chunks():
        for at in range(0, len(octets), 100_000):
            yield octets[at : at + 100_000]

    async with world.connect() as client:
        for data in (octets, tmp_path / "a.bin", chunks()):
            blob = await client.upload(data, "text/x-été; charset=utf-8".encode("ascii", "replace").decode())
            assert blob.size == len(octets)
            async with client.download(blob.blob_id, name="a b/ü%.bin") as download:
                assert b"".join([chunk async for chunk in download]) == octets
        with pytest.raises(TransportError) as caught:
            async with client.download("Gnothing"):
                pass
        assert caught.value.status == 404
