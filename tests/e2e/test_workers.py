"""`veredus serve` with several workers: one port, pushes from each to each, and no request lost at any end."""

import asyncio
import os
import re
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from e2e.clients import HttpJmap, MailClient, Refused
from e2e.process import ServerProcess
from e2e.workers import (
    ALICE,
    AUTH,
    PATIENCE_S,
    Workers,
    children,
    command_line,
    deliver,
    is_alive,
    serving,
    state,
    streaming,
)
from jmap import message
from waiting import until

pytestmark = pytest.mark.service


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Workers]:
    async with serving(tmp_path, workers=3) as server:
        yield server


async def test_all_workers_answer_on_one_port(server: Workers) -> None:
    async def ask() -> None:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
            for _ in range(5):
                (await http.get(f"{server.url}/jmap/session")).status_code  # noqa: B018 - 401 is an answer

    for _ in range(20):
        await asyncio.gather(*(ask() for _ in range(10)))
        await asyncio.sleep(0.15)  # request lines are written together
        if len(server.requests) == 3:
            break
    assert set(server.requests) == {1, 2, 3}
    assert len(set(server.pids().values())) == 3


async def test_a_scrape_has_the_samples_of_every_worker_once(server: Workers) -> None:
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        text = (
            await http.get(f"{server.url}/metrics", headers={"accept": "application/openmetrics-text"})
        ).text
    seen = Counter(
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    )
    assert max(seen.values()) == 1
    in_flight = {labels for name, labels in seen if name == "veredus_http_requests_in_flight"}
    assert in_flight == {(("worker", str(n)),) for n in (1, 2, 3)}
    names = re.findall(r"^# HELP (\S+)", text, re.MULTILINE)
    assert len(names) == len(set(names))


async def test_a_dead_worker_is_left_out_of_a_scrape(server: Workers) -> None:
    os.kill(server.pids()[2], signal.SIGSTOP)
    try:
        async with httpx.AsyncClient(trust_env=False, verify=False, timeout=5) as http:
            while True:
                try:
                    text = (await http.get(f"{server.url}/metrics")).text
                    break
                except httpx.TimeoutException:  # it was the stopped one that had the connection
                    continue
    finally:
        os.kill(server.pids()[2], signal.SIGCONT)
    assert set(re.findall(r'in_flight\{worker="(.)"', text)) == {"1", "3"}


async def test_a_delivery_on_one_worker_is_told_on_all(server: Workers) -> None:
    async with streaming(server.url, 12) as streams:
        for n in range(50):
            for stream in streams:
                stream.heard.clear()
            await deliver(server, f"number {n}")
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(stream.heard.wait() for stream in streams))
        final = await state(server)
        await until(lambda: all(stream.states.get("Email") == final for stream in streams))


async def test_a_killed_worker_is_replaced_and_its_streams_miss_nothing(server: Workers) -> None:
    async with streaming(server.url, 15) as streams:
        stop = asyncio.Event()
        busy = asyncio.create_task(_deliver_on(server, stop))
        for worker in (1, 2, 3):
            before = server.pids()[worker]
            os.kill(before, signal.SIGKILL)
            await until(lambda worker=worker, before=before: server.pids()[worker] != before)  # type: ignore[misc]
        await asyncio.sleep(1)
        stop.set()
        assert await busy > 20
        final = await state(server)
        await until(lambda: all(stream.states.get("Email") == final for stream in streams))
        assert sum(stream.connections for stream in streams) >= 30, "each was cut off once"
    replaced = server.named("worker replaced")
    assert [(entry["worker"], entry["reason"]) for entry in replaced] == [
        (n, "was killed by SIGKILL") for n in (1, 2, 3)
    ]


async def _deliver_on(server: ServerProcess, stop: asyncio.Event) -> int:
    """How many were accepted; a killed worker may cut a delivery off."""
    n = 0
    while not stop.is_set():
        try:
            await deliver(server, f"on {n}")
        except (ConnectionError, Refused):
            continue
        n += 1
    return n


async def test_pushes_arrive_without_the_nats_server_and_fast_when_it_is_back(server: Workers) -> None:
    async with streaming(server.url, 12) as streams:
        await deliver(server, "before")
        before = server.nats_pid()
        # So that it cannot answer; a killed one is back in half a second.
        os.kill(before, signal.SIGSTOP)
        began = time.perf_counter()
        await deliver(server, "without")
        final = await state(server)
        await until(lambda: all(stream.states.get("Email") == final for stream in streams))
        print(f"\nwithout nats-server: {time.perf_counter() - began:.2f} s")
        os.kill(before, signal.SIGKILL)
        await until(
            lambda: any(b"nats-server" in command_line(pid) for pid in children(server.pid) if pid != before)
        )
        for n in range(20):
            await deliver(server, f"after {n}")
            await asyncio.sleep(0.1)
        final = await state(server)
        await until(lambda: all(stream.states.get("Email") == final for stream in streams))
        assert server.nats_pid() != before
    assert server.named("worker replaced") == []


async def test_a_reload_under_load_loses_no_request(server: Workers) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        answered = [tasks.create_task(_ask_on(server, stop)) for _ in range(4)]
        accepted = [tasks.create_task(_mail_on(server, stop, f"c{n}")) for n in range(3)]
        for _ in range(3):
            await asyncio.sleep(0.5)
            await server.reload()
        stop.set()
    assert min(task.result() for task in answered) > 50
    subjects = [subject for task in accepted for subject in task.result()]
    assert len(subjects) > 50
    client = HttpJmap(server.url, AUTH, server.account)
    total = (await client.call("Email/query", limit=0, calculateTotal=True))["total"]
    await client.close()
    assert total == len(subjects), "each message that was accepted is there once"
    assert server.named("worker replaced") == []


async def _ask_on(server: Workers, stop: asyncio.Event) -> int:
    """POST on connections that are kept alive, with no second attempt of any kind; how many were answered."""
    count = 0
    client = HttpJmap(server.url, AUTH, server.account)
    while not stop.is_set():
        await client.call("Core/echo")
        count += 1
    await client.close()
    return count


async def _mail_on(server: Workers, stop: asyncio.Event, name: str) -> list[str]:
    """As an MTA does: many messages on a connection; 421 instead of a transaction means to connect again."""
    accepted: list[str] = []
    while not stop.is_set():
        client = await MailClient.connect(server.ports["lmtp"], is_lmtp=True)
        while not stop.is_set():
            subject = f"{name} {len(accepted)}"
            try:
                await client._accepted("MAIL FROM:<a@example.org>")
            except ConnectionError:
                break
            except Refused as refusal:
                if refusal.code != 421:
                    raise
                break
            await client._accepted(f"RCPT TO:<{ALICE}>")
            await client._accepted("DATA")
            client.writer.write(message(subject) + b"\r\n.\r\n")
            reply = await client.reply()
            assert reply.startswith("250"), reply
            accepted.append(subject)
        await client.close()
    return accepted


async def test_a_reload_takes_up_a_new_configuration(server: Workers) -> None:
    port = server.ports["http"]
    server.write_config(2, 'log.level = "info"\n')
    text = server.config_file.read_text().replace(
        '[http]\nlisten = ["127.0.0.1:0"]', '[http]\nlisten = ["127.0.0.1:0", "[::1]:0"]'
    )
    server.config_file.write_text(text)
    await server.reload()
    [reloaded] = server.named("reloaded")
    assert reloaded["workers"] == 2
    assert reloaded["http"][0] == f"127.0.0.1:{port}", "an address that stays has the same socket"
    assert reloaded["lmtp"] == [f"127.0.0.1:{server.ports['lmtp']}"]
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        for address in reloaded["http"]:
            assert (await http.get(f"http://{address}/healthz")).status_code == 200
    server.config_file.write_text(text.replace('"127.0.0.1:0", "[::1]:0"', '"[::1]:0"'))
    await server.reload()
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=30) as http:
        assert (await http.get(f"http://{reloaded['http'][1]}/healthz")).status_code == 200
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{server.url}/healthz")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("colour = 1\n", "colour"),
        ('storage.url = "memory"\n', '"memory" cannot be shared'),
        ('push.ca_file = "nowhere.pem"\n', "nowhere.pem: No such file"),
        ('metrics.listen = "192.0.2.1:1"\n', "192.0.2.1:1"),
        ('data_dir = "/proc/nowhere"\n', "worker 1 ended with status 1"),
    ],
)
async def test_a_broken_configuration_is_reported_and_the_old_workers_stay(
    server: Workers, settings: str, problem: str
) -> None:
    before = server.pids()
    text = server.config_file.read_text()
    if settings.startswith("data_dir"):
        text = text[: text.index("data_dir")] + text[text.index("hostname") :]
    server.config_file.write_text(settings + text)
    os.kill(server.pid, signal.SIGHUP)
    await until(lambda: server.named("not reloaded") != [])
    [entry] = server.named("not reloaded")
    assert any(problem in text for text in entry["problems"]), entry
    server.errors.clear()
    assert all(map(is_alive, before.values()))
    await deliver(server, "still there")


async def test_nothing_is_left_when_the_parent_is_killed(server: Workers) -> None:
    family = children(server.pid)
    assert len(family) == 4
    [configuration] = [
        word.decode() for word in command_line(server.nats_pid()).split(b"\0") if word.endswith(b".conf")
    ]
    # Not server.kill(): the workers hold the log open until they have ended, too.
    os.kill(server.pid, signal.SIGKILL)
    server.is_killed = True
    await until(lambda: not any(map(is_alive, family)))
    assert not Path(configuration).parent.exists()


async def test_an_order_to_stop_reaches_a_worker_that_is_just_being_started(server: Workers) -> None:
    os.kill(server.pids()[2], signal.SIGKILL)
    await until(lambda: server.named("worker replaced") != [])
    async with asyncio.timeout(PATIENCE_S):
        assert await server.stop() == 0


async def test_a_second_server_on_the_same_port_says_who_has_it(server: Workers, tmp_path: Path) -> None:
    directory = tmp_path / "second"
    directory.mkdir()
    async with Workers(directory) as second:
        text = second.config_file.read_text()
        second.config_file.write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{server.ports['http']}", 1))
        await second.begin()
        assert await second.ended() == 1
        [last] = second.events
        assert re.fullmatch(
            rf"veredus: 127.0.0.1:{server.ports['http']} is in use by .*\(pid \d+\)", last["event"]
        )


async def test_workers_that_cannot_start_say_why_once(tmp_path: Path) -> None:
    async with Workers(tmp_path, settings='[tls]\nmode = "files"\ncert = "x.pem"\nkey = "x.pem"\n') as server:
        (tmp_path / "x.pem").write_text("nothing")
        await server.begin()
        assert await server.ended() != 0
        said = [entry["event"] for entry in server.events if entry["event"].startswith("veredus: ")]
        assert said == [said[0], "veredus: worker 1 ended with status 1 before it was ready"]


async def test_workers_cannot_share_memory(tmp_path: Path) -> None:
    async with Workers(tmp_path, settings='[storage]\nurl = "memory"\n') as server:
        await server.begin()
        assert await server.ended() == 2
        assert '"memory" cannot be shared by' in server.events[0]["event"]


async def test_one_process_says_that_it_cannot_reload_and_lives_on(tmp_path: Path) -> None:
    server = Workers(tmp_path, workers=1)
    await server.start()
    async with server:
        os.kill(server.pid, signal.SIGHUP)
        await until(lambda: server.named("not reloaded") != [])
        assert await server.stop() == 0


async def test_a_worker_that_dies_again_and_again_is_started_ever_more_slowly(server: Workers) -> None:
    for _ in range(3):
        before = server.pids()[1]
        os.kill(before, signal.SIGKILL)
        await until(lambda before=before: server.pids()[1] != before)  # type: ignore[misc]
    assert [entry["pause_s"] for entry in server.named("worker replaced")] == [0, 0.25, 0.5]
