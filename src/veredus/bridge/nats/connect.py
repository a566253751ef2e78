"""Connections one after the other, for as long as the bridge runs."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from veredus.bridge.nats.errors import Misconfigured, NatsError
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.login import ReadSecret
from veredus.bridge.settings import NatsSettings

# The wait is drawn between nothing and a bound that doubles: not all bridges come back at once.
_FIRST_BOUND_S, _LAST_BOUND_S = 0.2, 10.0
# A connection that lived so long was a good one; the bound begins anew.
_GOOD_S = 5.0


def servers(settings: NatsSettings) -> list[str]:
    """The addresses of ``url``, which may be several with commas between them. Raises Misconfigured."""
    urls = [url.strip() for url in settings.url.split(",") if url.strip()]
    urls = [url if "://" in url else f"nats://{url}" for url in urls]
    for url in urls:
        if not url.startswith(("nats://", "tls://")):
            raise Misconfigured(
                f"NATS url {url.partition('://')[0]}://...: only nats:// and tls:// are possible"
            )
    if not urls:
        raise Misconfigured("NATS url is empty")
    return urls


async def connect(settings: NatsSettings, read_secret: ReadSecret, also: tuple[str, ...] = ()) -> Link:
    """The first server that takes us; ``also``: more to try. Raises what the last one said."""
    urls = servers(settings)
    random.shuffle(urls)
    trouble: NatsError = Misconfigured("NATS url is empty")
    for url in dict.fromkeys([*urls, *also]):
        try:
            return await Link.open(url, settings, read_secret)
        except NatsError as error:
            trouble = error
    raise trouble


async def connect_forever(
    settings: NatsSettings,
    stop: asyncio.Event,
    read_secret: ReadSecret,
    trouble: Callable[[NatsError], None] | None = None,
) -> AsyncGenerator[Link, None]:
    """A connection each time it is asked for one; the one before is closed then. Ends when ``stop`` is set.

    ``trouble`` is told each failure to connect. Close the generator (``contextlib.aclosing``), which closes
    the connection.
    """
    loop = asyncio.get_running_loop()
    bound, known = _FIRST_BOUND_S, tuple[str, ...]()
    while not stop.is_set():
        try:
            link = await connect(settings, read_secret, known)
        except NatsError as error:
            if trouble is not None:
                trouble(error)
        else:
            began = loop.time()
            try:
                yield link
            finally:
                # The others of the cluster, which may live when this one does not.
                known = _cluster(link)
                await link.close()
            if loop.time() - began >= _GOOD_S:
                bound = _FIRST_BOUND_S
        with suppress(TimeoutError):
            # Not wait_for, which may swallow a cancellation.
            async with asyncio.timeout(random.uniform(0, bound)):  # noqa: S311 - no secret
                await stop.wait()
        bound = min(bound * 2, _LAST_BOUND_S)


def _cluster(link: Link) -> tuple[str, ...]:
    return tuple(server.geturl() for server in link.client.discovered_servers)
