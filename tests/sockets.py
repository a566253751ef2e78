"""The HTTP clients of users of an app, over real sockets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from jmap import Jmap
from veredus.app import App
from veredus.config.mail_settings import Lmtp
from veredus.config.settings import Http
from veredus.serving import serve


@asynccontextmanager
async def http(app: App) -> AsyncIterator[str]:
    """The app behind a socket; its address."""
    object.__setattr__(app.config, "http", Http(listen=("127.0.0.1:0",)))
    object.__setattr__(app.config, "lmtp", Lmtp(listen=()))
    async with serve(app) as servers:
        yield f"http://{servers.http.addresses[0]}"


class Browser:
    """One user's HTTP client, by a token."""

    def __init__(self, url: str, user: Jmap, token: str) -> None:
        self.account = user.account
        headers = {"authorization": f"Bearer {token}"}
        self.client = httpx.AsyncClient(base_url=url, headers=headers, trust_env=False)

    async def upload(
        self, data: bytes, type: str = "text/plain", account: str | None = None
    ) -> httpx.Response:
        path = f"/jmap/upload/{account or self.account}/"
        return await self.client.post(path, content=data, headers={"content-type": type})

    async def download(self, blob: str, account: str | None = None) -> httpx.Response:
        return await self.client.get(
            f"/jmap/download/{account or self.account}/{blob}/a.txt?accept=text/plain"
        )


@asynccontextmanager
async def browsers(app: App, *users: Jmap, scope: Any = "write") -> AsyncIterator[list[Browser]]:
    async with http(app) as url:
        found = []
        for user in users:
            _, token = await app.accounts.create_token(user.identity.user, "test", scope, app.clock.now())
            found.append(Browser(url, user, token))
        try:
            yield found
        finally:
            for browser in found:
                await browser.client.aclose()
