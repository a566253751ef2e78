"""The examples of docs/push.md do what the page says."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cli.running import free_port
from e2e.chromium import opened, until
from e2e.dev import Dev, running
from house.sources import ROOT


def examples(language: str) -> list[str]:
    text = (ROOT / "docs" / "push.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    with running(tmp_path, "--ephemeral") as dev:
        yield dev


@asynccontextmanager
async def program(source: str, *others: tuple[str, str]) -> AsyncIterator[asyncio.StreamReader]:
    """An example as a process, with other addresses than it has in the page; its output."""
    for old, new in others:
        assert old in source
        source = source.replace(old, new)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        await process.wait()


async def line(output: asyncio.StreamReader) -> str:
    async with asyncio.timeout(30):
        return (await output.readline()).decode()


async def has(dev: Dev, metric: str) -> bool:
    return metric in await dev.metrics()


async def test_the_app_is_told_over_its_websocket(dev: Dev) -> None:
    [source, _] = examples("python")
    async with program(source, ("ws://127.0.0.1:8580", dev.url.replace("http", "ws"))) as output:
        await until(
            lambda: has(dev, 'veredus_websocket_messages_total{kind="WebSocketPushEnable"} 1.0'), bool
        )
        dev.deliver()
        assert "'Email'" in await line(output)


async def test_the_service_verifies_itself_and_is_told_at_its_url(dev: Dev) -> None:
    [_, source] = examples("python")
    port = free_port()
    others = (("http://127.0.0.1:8580", dev.url), ("8600", str(port)))
    async with program(source, *others) as output:
        assert "'created'" in await line(output)
        # What happens until the code has come back is told, too, but only then.
        await until(lambda: has(dev, "veredus_push_subscribers 1.0"), bool)
        dev.deliver()
        assert "'EmailDelivery'" in await line(output)


@asynccontextmanager
async def site(html: str) -> AsyncIterator[str]:
    """A web server of another origin, with one page."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n" + html.encode()
        )
        writer.close()

    web = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{web.sockets[0].getsockname()[1]}/"
    finally:
        web.close()


@pytest.mark.service
async def test_the_web_page_gets_what_comes_and_what_it_missed(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    (tmp_path / "dev.toml").write_text('[http]\ncors_origins = ["*"]\n')
    options = ("--config", "dev.toml", "--data-dir", "data")
    [html] = examples("html")
    async with opened(tmp_path) as page:

        async def shown() -> list[str]:
            found = (await page.text("pre")).splitlines()
            return [line for line in found if '"Email":' in line]

        with running(tmp_path, *options, ports=ports) as dev:
            async with site(html.replace("http://127.0.0.1:8580", dev.url)) as url:
                await page.open(url)
            await until(lambda: has(dev, 'veredus_push_streams{transport="eventsource"} 1.0'), bool)
            dev.deliver()
            await until(shown, lambda found: len(found) == 1)
        with running(tmp_path, *options, ports=ports) as dev:
            dev.deliver()
            await until(shown, lambda found: len(found) == 2)
