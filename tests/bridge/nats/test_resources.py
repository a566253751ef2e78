"""Streams and buckets: as jmap2nats makes them, and as the operator likes them."""

from pathlib import Path

import nats
import pytest
from nats.js.api import KeyValueConfig, ObjectStoreConfig

from bridge.nats.servers import Server, linked, running
from veredus.bridge.nats.errors import BadName, Misconfigured, NatsError, StreamFull
from veredus.bridge.nats.jetstream import create_stream, stream_info, update_stream
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.resources import Resource, drift, ensure, key_value, look_up, object_store, stream

HOUR = 3600 * 10**9


def mail(**changes: object) -> Resource:
    settings = {"max_age_s": 168 * 3600, "max_bytes": 64 << 20, "dedup_window_s": 24 * 3600} | changes
    return stream("JMAP_EMAILS", "jmap.email", **settings)  # type: ignore[arg-type]


async def test_the_stream_is_what_jmap2nats_makes(link: Link) -> None:
    config = (await ensure(link, mail())).config
    wanted = {
        "name": "JMAP_EMAILS",
        "subjects": ["jmap.email.>"],
        "retention": "limits",
        "discard": "old",
        "storage": "file",
        "max_age": 168 * HOUR,
        "max_bytes": 64 << 20,
        "duplicate_window": 24 * HOUR,
        "num_replicas": 1,
    }
    assert {name: config.get(name) for name in wanted} == wanted
    assert config["max_msgs"] == config["max_msg_size"] == config["max_msgs_per_subject"] == -1
    assert await drift(link, mail()) == []
    assert (await ensure(link, mail())).config == config


async def test_the_operators_changes_stay_and_ours_win(link: Link) -> None:
    config = (await ensure(link, mail())).config
    theirs = {"description": "do not touch", "max_msgs_per_subject": 1000, "discard": "new"}
    await update_stream(link, {**config, **theirs, "subjects": ["jmap.>"], "max_bytes": 1 << 20})
    found = await drift(link, mail())
    assert found is not None
    assert [(one.field, one.there, one.wanted, one.kept) for one in found] == [
        ("discard", "new", "old", True),
        ("max_bytes", 1 << 20, 64 << 20, False),
    ]
    after = (await ensure(link, mail())).config
    assert {name: after[name] for name in theirs} == theirs
    assert after["subjects"] == ["jmap.>"]
    assert after["max_bytes"] == 64 << 20
    await update_stream(link, {**after, "subjects": ["elsewhere", "jmap.email.a"]})
    assert (await ensure(link, mail())).config["subjects"] == ["elsewhere", "jmap.email.>"]


async def test_what_somebody_else_manages_is_only_looked_up(link: Link) -> None:
    with pytest.raises(Misconfigured, match=r"does not exist, and externally_managed is set"):
        await look_up(link, mail())
    await create_stream(link, {"name": "JMAP_EMAILS", "subjects": ["jmap.email.one"], "max_bytes": 1000})
    with pytest.raises(
        Misconfigured, match=r"does not take jmap\.email\.>: its subjects are jmap\.email\.one"
    ):
        await look_up(link, mail())
    config = (await stream_info(link, "JMAP_EMAILS")).config
    await update_stream(link, {**config, "subjects": ["jmap.>"]})
    assert (await look_up(link, mail())).config["max_bytes"] == 1000


async def test_subjects_of_another_stream_are_told(link: Link) -> None:
    await create_stream(link, {"name": "OTHER", "subjects": ["jmap.>"]})
    with pytest.raises(Misconfigured, match="another stream already takes these subjects"):
        await ensure(link, mail())


async def test_what_cannot_be_changed_is_told(link: Link) -> None:
    await create_stream(
        link,
        {"name": "JMAP_EMAILS", "subjects": ["jmap.email.>"], "retention": "workqueue", "storage": "memory"},
    )
    await ensure(link, mail())  # neither is among the settings
    with pytest.raises(NatsError, match=r"stream JMAP_EMAILS.*replicas"):
        await ensure(link, mail(replicas=9))


async def test_no_room_on_the_disk_is_told(program: Path, tmp_path: Path) -> None:
    async with running(program, tmp_path) as server:
        await server.kill()
        server.configure("", "max_file: 10M")
        await server.start()
        async with linked(server) as link:
            with pytest.raises(StreamFull, match="lower max_bytes"):
                await ensure(link, mail())


async def test_jetstream_that_is_not_there_is_told(program: Path, tmp_path: Path) -> None:
    async with running(program, tmp_path) as server:
        await server.kill()
        server.configure_without_jetstream()
        await server.start()
        async with linked(server) as link:
            with pytest.raises(NatsError, match="JetStream"):
                await ensure(link, mail())


@pytest.mark.parametrize("name", ["", "a.b", "a b", "a*", "a>", "a/b", "ü"])
def test_names_are_checked(name: str) -> None:
    for make in (
        lambda: stream(name, "a", max_age_s=1, max_bytes=1, dedup_window_s=1),
        lambda: object_store(name, ttl_s=1, max_bytes=1),
        lambda: key_value(name),
    ):
        with pytest.raises(BadName):
            make()


def test_the_window_for_duplicates_fits_the_age() -> None:
    with pytest.raises(Misconfigured, match="longer than max_age"):
        mail(max_age_s=60.0)
    assert mail(dedup_window_s=0.0).configured["duplicate_window"] == 120 * 10**9
    assert mail(dedup_window_s=0.0, max_age_s=60.0).configured["duplicate_window"] == 60 * 10**9


async def test_buckets_are_those_of_other_clients(server: Server, link: Link) -> None:
    """nats-py makes the same, and finds nothing to change in ours."""
    ours = await ensure(link, object_store("parts", ttl_s=3600, max_bytes=1 << 20))
    ours_kv = await ensure(link, key_value("CURSOR"))
    theirs = await nats.connect(server.url)
    js = theirs.jetstream()
    await js.create_object_store("other", ObjectStoreConfig(ttl=3600, max_bytes=1 << 20))
    await js.create_key_value(KeyValueConfig("THEIRS", history=1))
    for info, stream_name in ((ours, "OBJ_other"), (ours_kv, "KV_THEIRS")):
        other = (await stream_info(link, stream_name)).config
        differ = {name for name in other if other[name] != info.config.get(name)}
        # nats.go allows direct reads, nats-py does not always; TTLs of messages came with 2.11.
        assert differ - {"metadata", "allow_msg_ttl", "allow_direct"} == {"name", "subjects"}
    await (await js.object_store("parts")).put("x", b"y")
    await (await js.key_value("CURSOR")).put("x", b"y")
    await theirs.close()
    before = (await stream_info(link, "KV_THEIRS")).config
    assert (await ensure(link, key_value("THEIRS"))).config == before
