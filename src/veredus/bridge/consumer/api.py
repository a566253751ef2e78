"""Requests to the API of JetStream over a connection of nats-py."""

import asyncio
from typing import Any

import msgspec
from nats import errors as nats_errors
from nats.aio.client import Client

from veredus.bridge.consumer.errors import ApiError, Disconnected, NoSuchStream

NO_STREAM, NO_CONSUMER, NO_MESSAGE = 10059, 10014, 10037
_ANSWER_S = 5.0
# A restart or an election of NATS is over by then.
_TRIES, _PAUSE_S = 10, 1.0
# No answer while we are connected: most likely we may not ask.
_SILENT_TRIES = 2


class Api:
    """``domain``: of JetStream, where it is not that of the server one is connected to."""

    def __init__(self, nc: Client, domain: str | None = None) -> None:
        self.nc = nc
        self._prefix = f"$JS.{domain}.API" if domain else "$JS.API"

    def subject(self, verb: str) -> str:
        return f"{self._prefix}.{verb}"

    async def call(self, verb: str, request: object = None) -> dict[str, Any]:
        """Waits out a server that is down for a moment. Raises ApiError, NoSuchStream, Disconnected."""
        body = b"" if request is None else msgspec.json.encode(request)
        refused = silent = 0
        while refused < _TRIES and silent < _SILENT_TRIES:
            try:
                reply = await self.nc.request(self.subject(verb), body, timeout=_ANSWER_S)
            except nats_errors.NoRespondersError:
                refused += 1
                await asyncio.sleep(_PAUSE_S)
            except nats_errors.TimeoutError:
                silent += self.nc.is_connected
            except (nats_errors.ConnectionClosedError, nats_errors.ConnectionDrainingError):
                raise Disconnected("the connection to NATS is closed") from None
            else:
                return _checked(verb, msgspec.json.decode(reply.data, type=dict[str, Any]))
        why = "may this user publish there?" if silent else "is JetStream running?"
        raise ApiError(0, f"no answer to {self.subject(verb)}: {why}")


def _checked(verb: str, answer: dict[str, Any]) -> dict[str, Any]:
    error = answer.get("error")
    if error is None:
        return answer
    code, said = int(error.get("err_code", 0)), str(error.get("description", ""))
    if code == NO_STREAM:
        raise NoSuchStream(f"there is no stream {verb.split('.')[2]!r}")
    raise ApiError(code, f"{verb}: {said} (JetStream error {code or error.get('code')})")
