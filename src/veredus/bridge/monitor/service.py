"""The micro service ``jmap-bridge`` of NATS: ``nats micro ls`` shows it, ``nats req`` commands it.

Each process answers for each account it knows, whether it reads it or stands by: what it does and tells goes
by KV, where all find it. ``jmap.ctl.<account>.<verb>``, with or without JSON.
"""

import warnings
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

import msgspec
from nats.micro.request import Request, ServiceError
from nats.micro.service import EndpointConfig, Service, ServiceConfig

from veredus import __version__
from veredus.bridge.nats.errors import NatsError
from veredus.bridge.nats.link import Link
from veredus.client.errors import JMAPError
from veredus.wire.types import Id, JsonObject

NAME = "jmap-bridge"
# Account and the members of the request; the members of the answer. May raise ValueError for what is wrong
# in the request, JMAPError and NatsError.
Verb: TypeAlias = Callable[[Id, JsonObject], Awaitable[JsonObject]]


class Control:
    """The service of one bridge on one link; ``verbs`` by name."""

    def __init__(self, link: Link, prefix: str, bridge: str, verbs: Mapping[str, Verb]) -> None:
        self._prefix, self._verbs = prefix, verbs
        config = ServiceConfig(
            name=NAME,
            version=_semantic(__version__),
            description="Reads JMAP accounts into JetStream",
            metadata={"bridge": bridge},
        )
        with warnings.catch_warnings():  # it asks for the time in a way that Python 3.12 warns of
            warnings.simplefilter("ignore", DeprecationWarning)
            self._service = Service(link.client, config)
        self._accounts: set[Id] = set()
        self._started = False

    async def offer(self, accounts: Iterable[Id]) -> None:
        """Answer for these accounts, too."""
        if not self._started:
            self._started = True
            await self._service.start()
        for account in [id for id in accounts if id not in self._accounts]:
            self._accounts.add(account)
            for name, verb in self._verbs.items():
                subject = f"{self._prefix}.{account}.{name}"
                endpoint = EndpointConfig(name=name, subject=subject, handler=_answering(verb, account))
                await self._service.add_endpoint(endpoint)


def _answering(verb: Verb, account: Id) -> Callable[[Request], Awaitable[None]]:
    async def answer(request: Request) -> None:
        try:
            members = msgspec.json.decode(request.data or b"{}", type=dict[str, object])
        except msgspec.DecodeError:
            raise ServiceError("400", "the request is no JSON object") from None
        try:
            answered = await verb(account, members)
        except ValueError as error:
            raise ServiceError("400", str(error)) from error
        except (JMAPError, NatsError) as error:
            raise ServiceError("503", str(error)) from error
        await request.respond(msgspec.json.encode(answered))

    return answer


def _semantic(version: str) -> str:
    """As NATS demands it: three numbers."""
    numbers = [part for part in version.split(".")[:3] if part.isdecimal()]
    return ".".join([*numbers, "0", "0", "0"][:3])
