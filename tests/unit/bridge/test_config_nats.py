"""What the checks say of names, subjects and windows is what a nats-server says of them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import nats.js.errors
import pytest
from nats.aio.client import Client

from veredus.bridge.config.checks import check, overlap
from veredus.bridge.config.errors import Findings
from veredus.bridge.settings import (
    BridgeSettings,
    CursorSettings,
    EmailStreamSettings,
    JmapSettings,
    PartsSettings,
    Secret,
)
from veredus.bus.nats_server import NatsServerError, binary

pytestmark = pytest.mark.service


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Client]:
    """To a nats-server of the test's own, with JetStream."""
    try:
        program = str(binary())
    except NatsServerError as error:
        pytest.skip(str(error))
    words = ("-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(tmp_path))
    server = await asyncio.create_subprocess_exec(program, *words, stderr=asyncio.subprocess.PIPE)
    assert server.stderr is not None
    try:
        url = await asyncio.wait_for(_ready(server.stderr), 20)
        connection = await nats.connect(url, allow_reconnect=False)
        yield connection
        await connection.close()
    finally:
        server.terminate()
        await server.communicate()


async def _ready(log: asyncio.StreamReader) -> str:
    """The URL, when the server says that it is ready."""
    url = ""
    while line := (await log.readline()).decode():
        if "Listening for client connections on " in line:
            url = f"nats://{line.split()[-1]}"
        if "Server is ready" in line:
            return url
    raise AssertionError("nats-server ended")


def settings(**stream: Any) -> BridgeSettings:
    return BridgeSettings(
        name="x",
        jmap=JmapSettings(url="https://jmap.example/", token=Secret(env="TOKEN")),
        stream=EmailStreamSettings(**stream),
        cursor=CursorSettings(bucket="CURSOR"),
    )


def passes(given: BridgeSettings) -> bool:
    return check(given, Findings()) is not None


async def takes(connection: Client, **config: Any) -> dict[str, Any] | None:
    """What the server made of a stream; None: refused. Asked without nats-py's own checks."""
    name = config["name"]
    body = {"subjects": ["a.>"], "retention": "limits", "storage": "memory", "num_replicas": 1, **config}
    answer = await connection.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps(body).encode(), timeout=10)
    response: dict[str, Any] = json.loads(answer.data)
    if "error" in response:
        return None
    await connection.request(f"$JS.API.STREAM.DELETE.{name}", b"", timeout=10)
    made: dict[str, Any] = response["config"]
    return made


async def test_names_of_streams_are_judged_as_the_server_does(connection: Client) -> None:
    for name in ("JMAP_EMAILS", "mail+news", "a,b:c", "übrig", "x" * 255):
        assert (passes(settings(name=name)), await takes(connection, name=name) is not None) == (
            True,
            True,
        ), name
    for name in ("a/b", "a\\b", "x" * 256):
        assert (passes(settings(name=name)), await takes(connection, name=name) is not None) == (
            False,
            False,
        ), name


async def test_buckets_are_judged_as_nats_py_does(connection: Client) -> None:
    for name in ("JMAP_EMAILS_CURSOR", "a-b", "9", "a.b", "a b", "ü", "a+b", ""):
        try:
            await connection.jetstream().create_object_store(name)
            possible = True
        except (nats.js.errors.InvalidBucketNameError, nats.js.errors.BadRequestError, ValueError):
            possible = False
        given = BridgeSettings(
            name="x",
            jmap=JmapSettings(url="https://jmap.example/", token=Secret(env="TOKEN")),
            parts=PartsSettings(bucket=name),
        )
        assert passes(given) == possible, name


@pytest.mark.parametrize(
    ("prefix", "good"),
    [
        ("jmap.email", True), ("a", True), ("jmap-x.y_z", True), ("übrig.mail", True), ("a..b", False),
        (".a", False), ("a.", False), ("a.>", False), ("$JS.API", False),
    ],
)  # fmt: skip
async def test_prefixes_are_judged_as_the_server_does(prefix: str, good: bool, connection: Client) -> None:
    assert passes(settings(subject_prefix=prefix)) == good
    assert (await takes(connection, name="S", subjects=[f"{prefix}.>"]) is not None) == good


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.b", "a.b"),
        ("a", "a.b"),
        ("a.b.c", "a.b"),
        ("a.b", "a.bc"),
        ("a.b", "a.c"),
        ("ab", "a"),
        ("a", "b"),
    ],
)
async def test_prefixes_overlap_when_the_server_says_so(one: str, other: str, connection: Client) -> None:
    await connection.jetstream().add_stream(name="FIRST", subjects=[f"{one}.>"])
    assert (await takes(connection, name="SECOND", subjects=[f"{other}.>"]) is None) == overlap(one, other)


@pytest.mark.parametrize(
    ("age_s", "window_s"), [(604_800.0, 0.0), (60.0, 0.0), (604_800.0, 86_400.0), (0.1, 0.1), (3600.0, 0.1)]
)
async def test_the_window_is_the_one_that_the_server_takes(
    age_s: float, window_s: float, connection: Client
) -> None:
    made = await takes(
        connection, name="S", max_age=round(age_s * 1e9), duplicate_window=round(window_s * 1e9)
    )
    checked = check(settings(max_age_s=age_s, dedup_window_s=window_s), Findings())
    assert made is not None
    assert checked is not None
    assert checked.stream.dedup_window_s == made["duplicate_window"] / 1e9


async def test_what_the_server_refuses_of_a_window_is_refused_or_mended(connection: Client) -> None:
    assert await takes(connection, name="S", max_age=10**9, duplicate_window=2 * 10**9) is None
    findings = Findings()
    checked = check(settings(max_age_s=1.0, dedup_window_s=2.0), findings)
    assert checked is not None
    assert checked.stream.dedup_window_s == 1.0
    assert len(findings.warnings) == 1
    for age_s, window_s in ((0.05, 0.0), (1.0, 0.05), (1.0, -1.0)):
        config = {"max_age": round(age_s * 1e9), "duplicate_window": round(window_s * 1e9)}
        assert await takes(connection, name="S", **config) is None
        assert not passes(settings(max_age_s=age_s, dedup_window_s=window_s))
