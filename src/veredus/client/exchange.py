"""Requests and their responses, and the session they belong to (RFC 8620 §2, §3)."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from veredus.client.calls import Call
from veredus.client.capabilities import capability_of, is_reading, using
from veredus.client.discovery import discover
from veredus.client.errors import JMAPError, LimitError, ProtocolError, TransportError
from veredus.client.http import Connection
from veredus.client.network import not_json
from veredus.client.session import CORE, CoreLimits, Session, decode_session
from veredus.client.templates import api_url
from veredus.wire.arguments import Response
from veredus.wire.types import Id, JsonObject

_decode = msgspec.json.Decoder(Response).decode
_encode = msgspec.json.Encoder().encode


class Exchange:
    """What a client sends its calls through. ``server``: where the session is looked for; ``trust``: see
    ``discovery.discover``."""

    def __init__(self, connection: Connection, server: str, trust: Collection[str] = ()) -> None:
        self.connection = connection
        self._server, self._trust = server, trust
        self._session: Session | None = None
        self._seen_state = ""
        self._stale = False
        self._api_url = ""
        self.open()

    @property
    def about(self) -> str:
        """Who and where, for people."""
        if self._session is None:
            return f"of {self._server}, not open"
        return f"{self._session.username} at {self._session.host}"

    @property
    def session(self) -> Session:
        """The Session object (§2), as it was last fetched."""
        if self._session is None:
            raise RuntimeError("the client has no session: use it inside `async with`")
        return self._session

    async def refresh_session(self) -> Session:
        """Fetch the Session object; done by itself when the server says that it has changed (§3.4)."""
        async with self._refreshing:
            return await self._refresh()

    async def _refresh_stale(self) -> None:
        """Once for all that wait for it."""
        async with self._refreshing:
            if self._stale:
                await self._refresh()

    async def _refresh(self) -> Session:
        if self._session is not None:
            session = decode_session(*await self.connection.fetch(self._session.url))
        else:
            session = await self._discover()
        self._api_url = api_url(session.api_url, session.url)
        if self._session is None or self._session.limits != session.limits:
            self._slots = asyncio.Semaphore(max(1, session.limits.max_concurrent_requests))
        self._session, self._stale = session, False
        return session

    def open(self) -> None:
        """Belong to the event loop that runs now."""
        self._refreshing = asyncio.Lock()
        limits = self._session.limits if self._session else CoreLimits()
        self._slots = asyncio.Semaphore(max(1, limits.max_concurrent_requests))

    async def _discover(self) -> Session:
        failures: list[JMAPError] = []
        found = await discover(self._server, trust=self._trust)
        for url in found.urls:
            try:
                return decode_session(*await self.connection.fetch(url))
            except TransportError as error:
                failures.append(error)
        if not failures or found.advice:
            tried = "; ".join(map(str, failures)) or f"{self._server}: no JMAP server to try"
            raise JMAPError(f"{tried} {found.advice or ''}".strip())
        # The last place is the one that every server must have; a refusal says more than a missing host.
        raise next((error for error in failures if getattr(error, "status", None)), failures[-1])

    def account_for(self, type: str) -> Id:
        """The account that methods of a data type work on by default. Raises NotSupported."""
        return self.session.account_for(capability_of(type) or CORE)

    async def send(
        self,
        calls: Sequence[Call[Any]],
        *,
        using: Sequence[str] | None = None,
        created_ids: Mapping[Id, Id] | None = None,
    ) -> Response:
        """One request; each call is given its response. ``using``: further capabilities.

        Raises TransportError, RequestError, LimitError, NotSupported; MethodErrors stay with their calls.
        """
        if self._stale:
            await self._refresh_stale()
        session = self.session
        body, repeatable = self._request(session, calls, using, created_ids)
        async with self._slots:
            response = await self.connection.post(self._api_url, body, self._response, repeatable=repeatable)
        self._notice(response.session_state)
        by_id = {call.invocation.call_id: call for call in calls}
        answered = set()
        for name, arguments, call_id in response.method_responses:
            call = by_id.get(call_id)
            # A second response of one call is of another method, which the first implied (RFC 8621 §7.5).
            if call is not None and call_id not in answered:
                call.answered(name, arguments, session.host)
                answered.add(call_id)
        if len(answered) < len(by_id):
            missing = next(call.invocation.name for id, call in by_id.items() if id not in answered)
            raise ProtocolError(session.host, f"there is no response to {missing}")
        return response

    def _request(
        self,
        session: Session,
        calls: Sequence[Call[Any]],
        more: Sequence[str] | None,
        created_ids: Mapping[Id, Id] | None,
    ) -> tuple[bytes, bool]:
        """The request's body, and whether it may be sent twice."""
        limits, names = session.limits, [call.invocation.name for call in calls]
        if len(calls) > limits.max_calls_in_request:
            raise LimitError(session.host, "maxCallsInRequest", limits.max_calls_in_request, len(calls))
        types = {name.partition("/")[0] for name in names}
        capabilities = using(types, session)
        for capability in more or ():
            session.require(capability)
        request: JsonObject = {
            "using": sorted({*capabilities, *(more or ())}),
            "methodCalls": [call.invocation for call in calls],
        }
        if created_ids:
            request["createdIds"] = created_ids
        body = _encode(request)
        if len(body) > limits.max_size_request:
            raise LimitError(session.host, "maxSizeRequest", limits.max_size_request, len(body))
        return body, all(map(is_reading, names))

    def _response(self, body: bytes) -> Response:
        try:
            return _decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            what = f"{self._api_url} answers {not_json(body, error)} instead of a Response object"
            raise ProtocolError(self.session.host, what) from None

    def _notice(self, state: str) -> None:
        """The session is fetched again when its state moves; once, should a server's two never agree."""
        if state not in (self.session.state, self._seen_state):
            self._stale = True
        self._seen_state = state
