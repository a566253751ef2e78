"""The page of `veredus dev` that shows push, in a real browser."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from e2e.chromium import Page, opened, until
from e2e.dev import Dev, running
from house.sources import ROOT

pytestmark = pytest.mark.service

PANELS = ("eventsource", "websocket", "webpush")


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    with running(tmp_path, "--ephemeral") as dev:
        yield dev


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    async with opened(tmp_path) as page:
        yield page


async def states(page: Page) -> list[str]:
    return [await page.text(f"#{panel} .state") for panel in PANELS]


async def told(page: Page) -> list[int]:
    """How many StateChanges with a new Email each panel shows."""
    script = """return [...document.querySelectorAll(`#${arguments[0]} .events [data-kind=event]`)]
        .filter((line) => line.querySelector("pre").textContent.includes('"Email":')).length"""
    return [await page.run(script, panel) for panel in PANELS]


async def log_in(page: Page, dev: Dev) -> None:
    await page.open(f"{dev.url}/debug/push")
    await page.click("#login button")
    await until(lambda: page.text("#who"), lambda who: who == "alice@localhost")


async def test_a_delivered_message_is_seen_by_every_transport(dev: Dev, page: Page) -> None:
    await log_in(page, dev)
    await page.click("#connect-all")
    await until(lambda: states(page), lambda all: all == ["connected"] * 3)
    assert await told(page) == [0, 0, 0]
    dev.deliver()
    await until(lambda: told(page), lambda counts: counts == [1, 1, 1])
    dev.deliver("bob@localhost")
    await page.click("#send")
    times = await until(
        lambda: page.run(
            "return [...document.querySelectorAll('#results td')].map((cell) => cell.innerText)"
        ),
        lambda cells: len(cells) == 5 and "…" not in cells,
    )
    assert all(float(time) > 0 for time in times[1:])
    assert await told(page) == [2, 2, 2]
    for panel in PANELS:
        await page.click(f"#{panel} .disconnect")
    await until(lambda: states(page), lambda all: all == ["not connected"] * 3)
    dev.deliver()
    await page.click("#eventsource .connect")
    # What came meanwhile is told at once: the page says where it stood.
    await until(lambda: told(page), lambda counts: counts == [3, 2, 2])
    assert await page.console() == []


async def test_a_wrong_password_is_said_to_be_wrong(dev: Dev, page: Page) -> None:
    await page.open(f"{dev.url}/debug/push")
    await page.write("#password", "no")
    await page.click("#login button")
    await until(lambda: page.text("#login-error"), lambda text: "wrong" in text)


async def test_a_sink_is_there_as_long_as_it_is_read(dev: Dev) -> None:
    url = f"{dev.url}/debug/push/sink"
    async with httpx.AsyncClient(trust_env=False, verify=False, params={"id": "0123456789abcdef"}) as http:
        assert (await http.post(url, content=b"x")).status_code == 404
        async with http.stream("GET", url) as reading:
            lines = reading.aiter_lines()
            assert await anext(lines) == ": sink"
            assert (await http.get(url)).status_code == 409
            answer = await http.post(url, content=b"\x00\xff", headers={"ttl": "60", "x-other": "no"})
            assert answer.status_code == 201
            assert await anext(lines) == ""
            assert await anext(lines) == 'data: {"fields":{"ttl":"60"},"body":"AP8="}'
            assert (await http.post(url, content=b"x" * 65_537)).status_code == 413

        async def push() -> int:
            return (await http.post(url, content=b"x")).status_code

        await until(push, lambda status: status == 404)
        assert (await http.get(url, params={"id": "short"})).status_code == 400


async def test_the_server_stops_at_once_though_pages_are_open(dev: Dev, page: Page) -> None:
    """At the end of the test it is told to."""
    await log_in(page, dev)
    await page.click("#connect-all")
    await until(lambda: states(page), lambda all: all == ["connected"] * 3)


def test_serve_has_no_such_page() -> None:
    """It is a tool for those who write clients: `veredus dev` alone adds its routes."""
    users = [path.name for path in (ROOT / "src").rglob("*.py") if "debug_push" in path.read_text()]
    assert users == ["dev.py"]


async def test_tickets_and_passwords_are_not_in_the_log(dev: Dev, page: Page) -> None:
    await log_in(page, dev)
    await page.click("#eventsource .connect")
    await until(lambda: page.text("#eventsource .state"), lambda state: state == "connected")

    async def log() -> str:
        return dev.log.read_text()

    written = await until(log, lambda text: '"route":"/jmap/eventsource"' in text)
    assert "ticket=" not in written
