"""Whose a replica's file is, who may have it open, and what is no replica."""

import sqlite3
from pathlib import Path

import pytest

from client.replica.agreeing import agrees
from client.world import World
from jmap import new_user
from veredus.client.mail_types import Email
from veredus.client.replica import Replica, ReplicaError


async def test_two_cannot_have_it_open(world: World, tmp_path: Path) -> None:
    async with world.connect() as client, await Replica.open(client, tmp_path / "a.db") as replica:
        with pytest.raises(ReplicaError, match="is in use"):
            await Replica.open(client, tmp_path / "a.db")
        await replica.sync()
        await replica.close()
        with pytest.raises(ReplicaError, match="is closed"):
            await replica.get(Email)
        async with await Replica.open(client, tmp_path / "a.db") as again:
            await agrees(again, world)


async def test_the_file_of_another_user_is_refused(world: World, tmp_path: Path) -> None:
    async with world.connect() as client, await Replica.open(client, tmp_path / "a.db") as replica:
        await replica.sync()
    bob = await new_user(world.app, "bob@example.com")
    _, token = await world.app.accounts.create_token(
        bob.identity.user, "test", "write", world.app.clock.now()
    )
    async with world.connect(token=token) as client:
        with pytest.raises(ReplicaError, match=r"of alice@example\.com, not of .* of bob@example\.com"):
            await Replica.open(client, tmp_path / "a.db")


async def test_a_file_that_is_no_replica_is_left_alone(world: World, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE precious(a)")
    db.close()
    with pytest.raises(ReplicaError, match="but no replica"):
        await Replica.open(None, path)
    (tmp_path / "b.db").write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(ReplicaError, match="not a database"):
        await Replica.open(None, tmp_path / "b.db")
    with pytest.raises(ReplicaError, match=r"unable to open|No such file"):
        await Replica.open(None, tmp_path / "nowhere" / "a.db")


async def test_an_older_version_is_fetched_again_and_a_newer_refused(world: World, tmp_path: Path) -> None:
    await world.add_emails(1)
    path = tmp_path / "a.db"
    async with world.connect() as client:
        async with await Replica.open(client, path) as replica:
            await replica.sync()
        for version in (0, 99):
            with sqlite3.connect(path) as db:
                db.execute(f"PRAGMA user_version = {version}")
            db.close()
            if version:
                with pytest.raises(ReplicaError, match=r"version 99.*use a newer Veredus"):
                    await Replica.open(client, path)
            else:
                async with await Replica.open(client, path) as replica:
                    assert (await replica.get(Email)).list == []
                    await replica.sync()
                    await agrees(replica, world)
