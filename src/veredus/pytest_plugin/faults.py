"""Answers that a server gives only when something is wrong, given on demand."""

from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Struct

from veredus.engine.dispatch import decode
from veredus.http.api import Api, Download
from veredus.http.problems import Headers, Problem
from veredus.ports import Identity
from veredus.wire.types import JsonObject

# In place of the name of a method that is to fail: no method of ours, so nothing is executed.
_NO_METHOD = "Fault/injected"


class Failure(Struct):
    """For the next ``left`` requests. ``what``: an HTTP status, or the type of a method-level error.

    ``method``: only requests with a call of this name, and of these only such calls; None: any.
    """

    what: int | str
    left: int
    method: str | None
    retry_after_s: int | None


class FaultyApi:
    """http.api.Api: the engine, with failures before it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.failures: deque[Failure] = deque()

    async def session(self, identity: Identity, base_url: str) -> tuple[bytes, str]:
        self._refuse(())
        return await self._api.session(identity, base_url)

    async def process(self, body: bytes, identity: Identity, base_url: str) -> bytes:
        document = decode(body)
        self._refuse(_methods(document))
        return await self.answer(document, identity, base_url)

    async def answer(self, document: Any, identity: Identity, base_url: str) -> bytes:
        failure = self._next(str, _methods(document))
        if failure is None:
            return await self._api.answer(document, identity, base_url)
        failing = set()
        for call in document["methodCalls"]:
            if failure.method in (None, call[0]):
                failing.add(call[2])
                call[0] = _NO_METHOD
        response = msgspec.json.decode(await self._api.answer(document, identity, base_url))
        for name, arguments, call_id in response["methodResponses"]:
            if name == "error" and call_id in failing and arguments["type"] == "unknownMethod":
                arguments.clear()
                arguments.update(type=failure.what, description="A failure that the test has asked for.")
        return msgspec.json.encode(response)

    async def upload(
        self, identity: Identity, account: str, type: str, chunks: AsyncIterator[bytes]
    ) -> JsonObject:
        self._refuse(())
        return await self._api.upload(identity, account, type, chunks)

    async def download(self, identity: Identity, account: str, blob_id: str) -> Download | None:
        self._refuse(())
        return await self._api.download(identity, account, blob_id)

    def _refuse(self, methods: tuple[str, ...]) -> None:
        """Raises Problem when this request is to fail with a status."""
        failure = self._next(int, methods)
        if failure is None:
            return
        headers: Headers = []
        if failure.retry_after_s is not None:
            headers.append((b"retry-after", b"%d" % failure.retry_after_s))
        if failure.what == 401:
            headers.append((b"www-authenticate", b'Basic realm="test"'))
        assert isinstance(failure.what, int)
        raise Problem(failure.what, "A failure that the test has asked for.", headers)

    def _next(self, kind: type[int] | type[str], methods: tuple[str, ...]) -> Failure | None:
        """The oldest failure for such a request, which has one request less to fail then."""
        for failure in self.failures:
            if not isinstance(failure.what, kind) or (kind is str and not methods):
                continue
            if failure.method is None or failure.method in methods:
                failure.left -= 1
                if not failure.left:
                    self.failures.remove(failure)
                return failure
        return None


def _methods(document: Any) -> tuple[str, ...]:
    """The names of the calls; none: the engine will say what is wrong with it."""
    try:
        calls = [(name, id) for name, _, id in document["methodCalls"]]
    except (TypeError, KeyError, ValueError):
        return ()
    return tuple(name for name, _ in calls)
