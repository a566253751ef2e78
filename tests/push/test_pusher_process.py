"""Web push of the real program: killed and started again, and looked at with `veredus push`."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli.running import Run
from e2e.clients import HttpJmap
from e2e.process import ServerProcess
from waiting import until
from web_push import Keys, PushService

ALICE = "alice@example.com"
SETTINGS = '[push]\nallow = ["127.0.0.0/8"]\n'


class Alice:
    """A user of a server process, with a program that subscribes."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = ServerProcess(directory, SETTINGS)
        self._capsys = capsys
        self.token = ""

    async def add(self) -> None:
        async with self.server.opened() as app:
            await app.add_account(ALICE, None)
            _, self.token = await app.accounts.create_token(ALICE, "app", "write", app.clock.now())

    async def client(self) -> HttpJmap:
        client = HttpJmap(self.server.url, self.token)
        await client.session()
        return client

    async def set(self, client: HttpJmap, **args: Any) -> Any:
        body = {
            "using": ["urn:ietf:params:jmap:core"],
            "methodCalls": [["PushSubscription/set", args, "0"]],
        }
        return (await client.http.post("/jmap", json=body)).json()["methodResponses"][0][1]

    async def subscribe(self, client: HttpJmap, service: PushService, path: str) -> str:
        keys = Keys()
        given = {"deviceClientId": "phone", "url": service.url + path, "keys": keys.given}
        id = (await self.set(client, create={"a": given}))["created"]["a"]["id"]
        code = keys.read(await service.wait(path))["verificationCode"]
        assert (await self.set(client, update={id: {"verificationCode": code}}))["updated"] == {id: None}
        return id

    async def command(self, *words: str) -> tuple[int, str, str]:
        """`veredus push` beside the running server: exit status, output, errors."""
        argv = ("--config", self.server.config_file, "push", *words)
        ended = await asyncio.to_thread(Run, self._capsys, *argv)
        return int(ended.code), ended.out, ended.err


@pytest.fixture
async def alice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Alice]:
    user = Alice(tmp_path, capsys)
    async with user.server:
        await user.add()
        await user.server.start()
        yield user


async def test_after_kill_9_a_url_is_told_what_it_had_not_taken(alice: Alice, service: PushService) -> None:
    client = await alice.client()
    await alice.subscribe(client, service, "/a")
    await client.call("Mailbox/set", create={"m": {"name": "One"}})
    await service.wait("/a", 2)
    # Killed while the push service has the next one in its hands, or just before.
    service.answers["/a"] = (503, {})
    await client.call("Mailbox/set", create={"m": {"name": "Two"}})
    await service.wait("/a", 3)
    await alice.server.kill()
    await client.close()
    service.answers.clear()
    before = len(service.got)
    await alice.server.start()
    await service.wait("/a", before + 1)
    # Told once, it has nothing more to hear.
    await asyncio.sleep(1.5)
    assert len(service.got) == before + 1
    assert alice.server.errors == []


async def test_the_commands_show_and_try_subscriptions(alice: Alice, service: PushService) -> None:
    client = await alice.client()

    async def count(name: str) -> float:
        text = (await client.http.get("/metrics")).text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    assert await alice.command("test", ALICE) == (
        1,
        "",
        f"veredus: {ALICE} has no push subscription - `veredus push ls` shows those there are\n",
    )
    good = await alice.subscribe(client, service, "/good-secret")
    bad = await alice.subscribe(client, service, "/bad-secret")
    given = {"deviceClientId": "tab\x1b[let", "url": service.url + "/mute-secret"}
    mute = (await alice.set(client, create={"a": given}))["created"]["a"]["id"]
    await service.wait("/mute-secret")
    service.answers["/bad-secret"] = (500, {})
    code, out, _ = await alice.command("test", ALICE)
    assert code == 3
    assert dict(line.split("  phone  ") for line in out.splitlines() if "phone" in line) == {
        good: "127.0.0.1 answered 201",
        bad: "127.0.0.1 answered 500",
    }
    assert f"{mute}  tab?[let  not verified" in out  # no client writes to a terminal
    assert len(service.at("/mute-secret")) == 1
    assert await count("veredus_webpush_subscriptions") == 3
    assert await count('veredus_webpush_requests_total{outcome="delivered"}') == 3

    async def is_stored() -> bool:
        listed = json.loads((await alice.command("ls", "--json"))[1])
        return all(one["attempted"] for one in listed)

    await until(is_stored)
    code, out, _ = await alice.command("ls", ALICE)
    assert (code, len(out.splitlines()), "secret" in out) == (0, 3, False)
    assert "127.0.0.1  verified  expires" in out
    assert "127.0.0.1  not verified  expires" in out
    # A new key for those who come; the old one goes on signing.
    code, key, err = await alice.command("rotate-key")
    assert (code, key) == (2, "")
    assert "--yes" in err
    code, key, _ = await alice.command("rotate-key", "--yes")
    assert code == 0
    service.answers.clear()
    await client.call("Mailbox/set", create={"m": {"name": "One"}})
    told = await service.wait("/good-secret", 3)
    assert key.strip() not in told.headers["Authorization"]

    async def is_advertised() -> bool:
        session = await client.session()
        capability = session["capabilities"]["urn:ietf:params:jmap:webpush-vapid"]
        return capability["applicationServerKey"] == key.strip()

    await until(is_advertised)
    await alice.subscribe(client, service, "/new")
    assert key.strip() in service.at("/new")[0].headers["Authorization"]
    await client.close()
    assert alice.server.errors == []
