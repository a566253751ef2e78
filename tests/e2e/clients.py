"""Clients over real sockets: JMAP over HTTP, and mail by LMTP or SMTP."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import httpx

from jmap import USING


class Refused(Exception):
    """The server said no to a message. ``code``: of the reply."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        self.code = int(line[:3])


class HttpJmap:
    """One user's view of a server, over HTTP."""

    def __init__(self, url: str, auth: Any, account: str = "") -> None:
        """``auth``: (user, password), or a token."""
        headers = {"authorization": f"Bearer {auth}"} if isinstance(auth, str) else {}
        # verify: to read the authorities' certificates takes longer than all that most tests do.
        self.http = httpx.AsyncClient(
            base_url=url, auth=auth if isinstance(auth, tuple) else None, headers=headers,
            timeout=60, trust_env=False, verify=False,
        )  # fmt: skip
        self.account = account

    async def session(self) -> Any:
        """The Session object; from now on calls are about the user's own account."""
        response = await self.http.get("/.well-known/jmap", follow_redirects=True)
        response.raise_for_status()
        session = response.json()
        self.account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]
        return session

    async def responses(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, Any]]:
        """Names and arguments of the responses to one request."""
        invocations = [[name, {"accountId": self.account, **args}, "c"] for name, args in calls]
        answer = await self.http.post("/jmap", json={"using": USING, "methodCalls": invocations})
        answer.raise_for_status()
        return [(name, response) for name, response, _ in answer.json()["methodResponses"]]

    async def calls(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
        """The responses to one request, of which none may be an error."""
        responses = await self.responses(calls)
        for (method, _), (name, response) in zip(calls, responses, strict=True):
            assert name == method, response
        return [response for _, response in responses]

    async def call(self, method: str, /, **args: Any) -> Any:
        """The response to one call, which must not be an error."""
        return (await self.calls([(method, args)]))[0]

    async def error(self, method: str, /, **args: Any) -> Any:
        """The error that one call must give."""
        [(name, response)] = await self.responses([(method, args)])
        assert name == "error", response
        return response

    async def upload(self, data: bytes) -> str:
        answer = await self.http.post(
            f"/jmap/upload/{self.account}/", content=data, headers={"content-type": "message/rfc822"}
        )
        answer.raise_for_status()
        return str(answer.json()["blobId"])

    async def download(self, blob_id: str) -> bytes:
        answer = await self.http.get(
            f"/jmap/download/{self.account}/{blob_id}/blob?accept=application%2Foctet-stream"
        )
        answer.raise_for_status()
        return answer.content

    async def close(self) -> None:
        await self.http.aclose()


class MailClient:
    """An SMTP or LMTP client that waits for each reply."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_lmtp: bool) -> None:
        self.reader, self.writer, self._is_lmtp = reader, writer, is_lmtp
        self.extensions: list[str] = []

    @classmethod
    async def connect(cls, port: int, *, is_lmtp: bool) -> "MailClient":
        client = cls(*await asyncio.open_connection("127.0.0.1", port), is_lmtp)
        try:
            await client.reply()
            client.extensions = (await client.say("LHLO tests" if is_lmtp else "EHLO tests")).splitlines()
        except ConnectionError:
            await client.close()
            raise
        return client

    async def reply(self) -> str:
        """The whole of the next reply; raises ConnectionError when there is none."""
        lines = []
        while True:
            line = (await self.reader.readline()).decode()
            if not line.endswith("\r\n"):
                raise ConnectionError("the server is gone")
            lines.append(line.rstrip())
            if line[3] == " ":
                return "\n".join(lines)

    async def say(self, line: str) -> str:
        """A command and its reply."""
        self.writer.write(line.encode() + b"\r\n")
        return await self.reply()

    async def send(
        self, message: bytes, *recipients: str, sender: str = "sender@example.org", options: str = ""
    ) -> list[str]:
        """The replies to the message; raises Refused when it comes to no message."""
        await self._accepted(f"MAIL FROM:<{sender}>{options}")
        for recipient in recipients:
            await self._accepted(f"RCPT TO:<{recipient}>")
        await self._accepted("DATA")
        lines = (message if message.endswith(b"\r\n") else message + b"\r\n").split(b"\r\n")
        self.writer.write(b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines))
        self.writer.write(b".\r\n")
        await self.writer.drain()
        return [await self.reply() for _ in (recipients if self._is_lmtp else recipients[:1])]

    async def _accepted(self, command: str) -> None:
        reply = await self.say(command)
        if reply[0] not in "23":
            raise Refused(reply)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):  # it was killed
            await self.writer.wait_closed()
