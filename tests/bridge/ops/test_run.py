"""`veredus bridge run` as a process: what it waits for, what ends it, and how it says so."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import pytest

from bridge.ops.setup import Process, Relay, Setup
from veredus.bridge import control
from veredus.bridge.bridge import Bridge
from veredus.bridge.nats.errors import Missing
from veredus.bridge.nats.jetstream import call
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.nats.lease import holder
from waiting import until

pytestmark = pytest.mark.service


async def is_held(setup: Setup) -> bool:
    async with setup.link() as link:
        return await holder(KeyValue(link, "JMAP_BRIDGE"), f"lease.{setup.account}") is not None


async def test_it_publishes_tells_how_it_is_and_ends_in_good_order(setup: Setup) -> None:
    ids = await setup.world.add_emails(3)
    async with setup.process() as process:
        await process.until_it_says("active")
        assert await setup.until_emails(3) == ids
        health, metrics = await process.get("/healthz"), await process.get("/metrics")
        assert health is not None
        assert metrics is not None
        assert health.json() == {"status": "ok"}
        published = f'bridge_published_total{{account="{setup.account}",bridge="one",op="snapshot"'
        assert f'{published},stream="emails",type="Email"}} 3.0' in metrics.text
        assert f'bridge_lease_held{{account="{setup.account}",bridge="one"}} 1.0' in metrics.text
        assert await process.stop() == 0
    assert process.events[-1] == "stopped"
    assert not await is_held(setup)
    status = (await setup.cli("status")).out
    assert "no process runs" in status
    assert "read by nobody" in status


async def test_no_line_of_the_log_has_anything_of_a_message(setup: Setup) -> None:
    await setup.world.add_emails(2)
    async with setup.process() as process:
        await setup.until_emails(2)
        await process.stop()
    assert not [line for line in process.lines if "bob@example.org" in line or "body" in line]


async def test_it_may_be_stopped_at_any_moment(setup: Setup) -> None:
    """Nothing is lost by it, nothing repeated, and nothing out of order."""
    setup.configure('snapshot = { mode = "full" }')
    ids = await setup.world.add_emails(400)
    for count in (1, 150, 300):
        async with setup.process() as process:
            await process.until_it_logs("nats_connected")
            await setup.until_emails(count)
            assert await process.stop() == 0
            assert not await is_held(setup)
    async with setup.process():
        assert await setup.until_emails(400) == ids


async def test_nats_that_is_down_at_the_start_is_waited_for(setup: Setup) -> None:
    [id] = await setup.world.add_emails(1)
    await setup.nats.kill()
    async with setup.process() as process:
        await process.until_it_says("unavailable", "NATS: ")
        await setup.nats.start()
        await process.until_it_says("active")
        assert await setup.until_emails(1) == [id]


async def logged_twice(process: Process, event: str) -> bool:
    return process.events.count(event) == 2


async def test_a_jmap_server_that_is_down_at_the_start_is_waited_for(setup: Setup) -> None:
    relay = Relay(urlsplit(setup.world.url).port or 0)
    setup.configure(url=f"http://127.0.0.1:{relay.port}/.well-known/jmap")
    async with setup.process() as process:
        await process.until_it_says("unavailable", "JMAP: ")
        await relay.open()
        await process.until_it_logs("authenticated")
        await process.until_it_says("active")
        await relay.close()
        await process.until_it_says("unavailable", "JMAP: ")
        await relay.open()
        await process.until_it_says("active")
        await until(lambda: logged_twice(process, "push_connected"))  # that it is over, too, is in the log
    await relay.close()


async def test_nats_that_is_restarted_costs_nothing(setup: Setup) -> None:
    await setup.world.add_emails(1)
    async with setup.process() as process:
        await setup.until_emails(1)
        await setup.nats.kill()
        await process.until_it_says("unavailable", "NATS: ")
        ids = await setup.world.add_emails(2)
        await setup.nats.start()
        assert (await setup.until_emails(3))[1:] == ids
        await process.until_it_says("active")


async def test_jetstream_that_does_not_serve_yet_is_waited_for(setup: Setup) -> None:
    setup.nats.configure_without_jetstream()
    await setup.nats.restart()
    async with setup.process() as process:
        await process.until_it_says("unavailable", "is JetStream running?")
        setup.nats.configure("")
        await setup.nats.restart()
        await process.until_it_says("active")


async def test_a_stream_that_somebody_deletes_is_made_again(setup: Setup) -> None:
    setup.configure('monitor = { heartbeat = "1s" }')
    async with setup.process() as process:
        await process.until_it_says("active")
        async with setup.link() as link:
            await call(link, "STREAM.DELETE.JMAP_EMAILS")
        ids = await setup.world.add_emails(2)
        assert await setup.until_emails(2) == ids


async def test_wrong_credentials_at_the_start_end_it_with_one_clear_line(setup: Setup) -> None:
    setup.write_token("nobody's")
    async with setup.process() as process:
        assert await process.ended() == 1
    assert process.lines[-1].startswith("veredus: ")
    assert "HTTP 401: the credentials are refused" in process.lines[-1]


async def test_a_secret_that_is_not_there_ends_it_with_its_name(setup: Setup) -> None:
    setup.token.unlink()
    async with setup.process() as process:
        assert await process.ended() == 1
    assert process.lines[-1] == f"veredus: credentials: read {setup.token}: No such file or directory"


async def test_nats_that_refuses_us_at_the_start_ends_it(setup: Setup) -> None:
    setup.nats.configure("authorization { token: secret }")
    await setup.nats.restart()
    async with setup.process() as process:
        assert await process.ended() == 1
    assert "wrong or missing credentials" in process.lines[-1]


async def test_a_stream_that_others_manage_and_is_missing_ends_it(setup: Setup) -> None:
    setup.configure("stream = { externally_managed = true }")
    async with setup.process() as process:
        assert await process.ended() == 1
    assert "stream JMAP_EMAILS does not exist, and externally_managed is set" in process.lines[-1]


async def test_an_address_in_use_ends_it(setup: Setup) -> None:
    setup.configure(f'monitor = {{ listen = "127.0.0.1:{setup.nats.port}" }}')
    ended = await setup.cli("run")
    assert ended.code == 1
    assert f"monitor.listen 127.0.0.1:{setup.nats.port}: Address already in use\n" in ended.err
    ended = await setup.cli("run", "--listen", "9180")
    assert (ended.code, ended.err.splitlines()[-1]) == (1, "veredus: monitor.listen 9180: expected HOST:PORT")


async def test_a_token_that_is_rotated_is_read_again(setup: Setup) -> None:
    app = setup.world.app
    id, token = await app.accounts.create_token("alice@example.com", "b", "write", app.clock.now())
    setup.write_token(token)
    async with setup.process() as process:
        await process.until_it_says("active")
        await app.accounts.revoke_token(id)
        await setup.world.add_emails(1)
        await process.until_it_says("unavailable", "HTTP 401")

        async def is_told() -> bool:  # by an early heartbeat
            return "    problem: JMAP: 127.0.0.1" in (await setup.cli("status")).out

        await until(is_told)
        setup.write_token(setup.world.token)
        await process.until_it_says("active")
        await setup.until_emails(1)


async def test_one_bridge_that_cannot_start_takes_the_others_with_it(setup: Setup) -> None:
    other = """state_bucket = "OTHER"
        stream = { name = "OTHER", subject_prefix = "other" }
        cursor = { bucket = "OTHERS" }
        parts = { bucket = "other" }
        dlq = { name = "OTHER_DLQ", subject_prefix = "other-dlq" }
        mailboxes_bucket = "none"
    """
    table = setup.table(other, name="two").replace("} }\nnats", '}, accounts = ["nobody"] }\nnats')
    setup.configure(also=table)
    async with setup.process() as process:
        assert await process.ended() == 1
    assert "no account 'nobody' in this session; there are: " in process.lines[-1]
    assert any('"bridge":"two"' in line and "bridge_ended" in line for line in process.lines)
    assert process.events[-1] == "stopped"
    with suppress(Missing):  # it had perhaps not even begun
        assert not await is_held(setup)


async def test_a_standby_is_ready_and_takes_over(setup: Setup) -> None:
    await setup.world.add_emails(1)
    async with setup.process() as first:
        await first.until_it_says("active")
        async with setup.process() as second:
            await second.until_it_says("standby")
            await second.until_it_logs("streams_ready")
            first.send(signal.SIGKILL)
            ids = await setup.world.add_emails(1)
            await second.until_it_says("active")
            assert (await setup.until_emails(2))[1:] == ids


async def test_the_second_signal_kills(setup: Setup) -> None:
    async with setup.process() as process:
        await process.until_it_says("active")
        setup.nats.send_signal(signal.SIGSTOP)  # what is to be said to it at the end takes its time
        process.send(signal.SIGTERM)
        await process.until_it_logs("stopping")
        process.send(signal.SIGTERM)
        assert await process.ended() == -signal.SIGTERM
        setup.nats.send_signal(signal.SIGCONT)


async def test_a_pause_outlives_the_process(setup: Setup) -> None:
    assert (await setup.cli("pause", "--account", setup.account)).out.endswith(": paused\n")
    [id] = await setup.world.add_emails(1)
    async with setup.process() as process:
        await process.until_it_says("paused")
        await process.until_it_logs("reading")
        assert await setup.emails() == []
        assert (await setup.cli("pause")).out.endswith(": paused, as before\n")
        assert (await setup.cli("resume")).out.endswith(": not paused\n")
        assert await setup.until_emails(1) == [id]
        await setup.cli("pause")
        await process.until_it_says("paused")
    assert f"account {setup.account}: paused since " in (await setup.cli("status")).out


async def test_a_snapshot_can_be_paused(setup: Setup) -> None:
    setup.configure('snapshot = { mode = "full" }')
    ids = await setup.world.add_emails(600)
    async with setup.process() as process, setup.link() as link:
        await setup.until_emails(1)
        await control.pause(KeyValue(link, "JMAP_BRIDGE"), setup.account)
        await process.until_it_logs("paused")
        await process.until_it_says("paused")
        assert len(await setup.emails()) < len(ids)
        await control.resume(KeyValue(link, "JMAP_BRIDGE"), setup.account)
        assert await setup.until_emails(len(ids)) == ids


async def test_accounts_come_and_go_with_the_session(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("veredus.bridge.bridge._SESSION_S", 0.2)
    app = setup.world.app
    bob = await app.add_account("bob@example.com", None)
    setup.file.write_text(setup.table().replace("} }\nnats", '}, accounts = ["*"] }\nnats'))
    bridge = Bridge(setup.settings, "here")

    def reads(*accounts: str) -> Callable[[], Awaitable[bool]]:
        async def only_those() -> bool:
            assert not running.done()
            return {id for id, one in bridge.status.accounts.items() if one.active} == set(accounts)

        return only_those

    running = asyncio.create_task(bridge.run())
    try:
        await until(reads(setup.account))
        await app.accounts.grant("alice@example.com", bob, "read")
        await until(reads(setup.account, bob))
        await app.accounts.grant("alice@example.com", bob, None)
        await until(reads(setup.account))
        assert bob not in bridge.status.accounts
    finally:
        running.cancel()
        await asyncio.wait([running])


async def test_an_account_that_is_named_and_gone_is_waited_for(setup: Setup) -> None:
    app = setup.world.app
    bob = await app.add_account("bob@example.com", None)
    await app.accounts.grant("alice@example.com", bob, "read")
    table = setup.table('poll = "1s"')
    setup.file.write_text(table.replace("} }\nnats", f'}}, accounts = ["{bob}"] }}\nnats'))
    async with setup.process() as process:
        await process.until_it_says("active")
        await app.accounts.grant("alice@example.com", bob, None)
        await process.until_it_says("unavailable", f"account {bob}, emails/Email: ")
        await setup.nats.restart()  # so that all begins anew
        await process.until_it_says("unavailable", f"account {bob}: ")
        await app.accounts.grant("alice@example.com", bob, "read")
        await process.until_it_says("active")
