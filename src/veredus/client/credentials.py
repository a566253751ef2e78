"""How a client proves who it is: the Authorization field of each request, made anew when a secret rotates."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol


class Credentials(Protocol):
    """``authorization`` gives the field's value; raises OSError or ValueError when there is none."""

    async def authorization(self) -> str: ...

    async def refresh(self) -> bool:
        """The server said 401: whether there is something else to try."""
        ...


class Basic:
    """A name and a password (RFC 7617)."""

    def __init__(self, user: str, password: str) -> None:
        # What os.environ.get() gives for a variable that is not set would be sent as "None".
        given: tuple[object, ...] = (user, password)
        if not all(isinstance(each, str) for each in given):
            raise ValueError("basic: a user name and a password, both text")
        if ":" in user:
            raise ValueError("a user name with a colon cannot be sent (RFC 7617 §2)")
        self._value = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")

    async def authorization(self) -> str:
        return self._value

    async def refresh(self) -> bool:
        return False


class Bearer:
    """A token (RFC 6750), or a function that gives one: called at the start and after each 401."""

    def __init__(self, token: str | Callable[[], Awaitable[str]]) -> None:
        if not isinstance(token, str) and not callable(token):
            raise ValueError("a token is text, or an async function that gives it")
        self._fetch = None if isinstance(token, str) else token
        self._token = _checked(token) if isinstance(token, str) else None

    async def authorization(self) -> str:
        if self._token is None and self._fetch is not None:
            self._token = _checked(await self._fetch())
        return f"Bearer {self._token}"

    async def refresh(self) -> bool:
        if self._fetch is None:
            return False
        old, self._token = self._token, _checked(await self._fetch())
        return self._token != old


class TokenFile:
    """A token in a file, which may change while we run: looked at again before each request."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[int, int, int] | None = None
        self._token = ""

    async def authorization(self) -> str:
        stat = self._path.stat()
        # A rename brings another inode, and what is written in place another time or size.
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen != self._read:
            self._token = _checked(await asyncio.to_thread(self._path.read_text), str(self._path))
            self._read = seen
        return f"Bearer {self._token}"

    async def refresh(self) -> bool:
        old, self._read = self._token, None
        await self.authorization()
        return self._token != old


def _checked(token: str, where: str = "the token") -> str:
    token = token.strip()
    if not token:
        raise ValueError(f"{where} is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{where} holds characters that no bearer token has (RFC 6750 §2.1)")
    return token
