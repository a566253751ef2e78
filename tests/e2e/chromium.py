"""Chromium without a window, driven by WebDriver (https://www.w3.org/TR/webdriver2/) over HTTP."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from cli.running import free_port

T = TypeVar("T")

_BROWSER, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = None if _BROWSER and _DRIVER else "Debian's packages chromium and chromium-driver are not installed"
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1280,1000",
)  # fmt: skip
# Two busy cores.
PATIENCE_S = 60.0


class Page:
    """The one window of a browser."""

    def __init__(self, http: httpx.AsyncClient, session: str) -> None:
        self._http, self._path = http, f"/session/{session}"

    async def _ask(self, command: str, **arguments: Any) -> Any:
        answer = await self._http.post(f"{self._path}/{command}", json=arguments)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    async def open(self, url: str) -> None:
        await self._ask("url", url=url)

    async def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a function gives; it finds its arguments in ``arguments``."""
        return await self._ask("execute/sync", script=script, args=arguments)

    async def click(self, selector: str) -> None:
        """As a person does: only what can be seen and is enabled."""
        element = await self._ask("element", using="css selector", value=selector)
        await self._ask(f"element/{next(iter(element.values()))}/click")

    async def write(self, selector: str, text: str) -> None:
        """Into a field, instead of what is in it."""
        element = await self._ask("element", using="css selector", value=selector)
        id = next(iter(element.values()))
        await self._ask(f"element/{id}/clear")
        await self._ask(f"element/{id}/value", text=text)

    async def text(self, selector: str) -> str:
        return str(await self.run("return document.querySelector(arguments[0]).innerText", selector))

    async def console(self) -> list[str]:
        """What the browser has warned of since it was last asked."""
        return [f"{line['level']} {line['message']}" for line in await self._ask("se/log", type="browser")]


async def until(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Ask until the answer is right; fails with the last answer."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    while not holds(answer := await ask()):
        assert loop.time() < end, answer
        await asyncio.sleep(0.05)
    return answer


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[Page]:
    """A browser that nobody has used, with its profile below ``directory``."""
    if MISSING:
        pytest.skip(MISSING)
    assert _BROWSER
    assert _DRIVER
    port = free_port()
    driver = await asyncio.create_subprocess_exec(
        _DRIVER, f"--port={port}", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    options = {"binary": _BROWSER, "args": [*_FLAGS, f"--user-data-dir={directory / 'profile'}"]}
    wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, trust_env=False, verify=False
        ) as http:
            await until(lambda: _is_up(http), bool)
            answer = await http.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            session = answer.json()["value"]
            assert answer.status_code == 200, session
            try:
                yield Page(http, session["sessionId"])
            finally:
                await http.delete(f"/session/{session['sessionId']}")
    finally:
        with contextlib.suppress(ProcessLookupError):
            driver.terminate()
        await driver.wait()


async def _is_up(http: httpx.AsyncClient) -> bool:
    try:
        return bool((await http.get("/status")).json()["value"]["ready"])
    except httpx.TransportError:
        return False
