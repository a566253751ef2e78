"""The parent of the workers: it binds, starts, watches, reloads and ends, and never serves a request."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from veredus import __version__
from veredus import log as logs
from veredus.bus.nats_server import NatsServer, NatsServerError
from veredus.cli.common import EXIT_FAILURE, Failure
from veredus.cli.workers.child import NotReady
from veredus.cli.workers.directory import private_directory
from veredus.cli.workers.generation import Generation
from veredus.cli.workers.listening import Listening
from veredus.cli.workers.orders import RETIRE, STOP
from veredus.config import Config
from veredus.config.errors import ConfigError

log = structlog.get_logger("veredus.workers")


def supervise(config: Config, load: Callable[[], Config]) -> None:
    """Serve with ``config.workers`` processes until SIGTERM or SIGINT; at SIGHUP with what ``load`` gives.

    Raises Failure.
    """
    with private_directory() as directory:
        asyncio.run(_Supervisor(load, directory).run(config))
    log.info("stopped")


class _Supervisor:
    def __init__(self, load: Callable[[], Config], directory: Path) -> None:
        """``directory``: private and empty."""
        self._load, self._directory = load, directory
        self._nats: NatsServer | None = None
        self._watching: asyncio.Task[None] | None = None
        self._number = 0
        # The one that serves, and those that end what they have in flight.
        self._serving: Generation | None = None
        self._retiring: dict[Generation, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self, config: Config) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._begin_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        working = asyncio.create_task(self._work(config))
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        working.cancel()
        await asyncio.wait({working})
        await self._end()
        if not working.cancelled():
            working.result()

    def _begin_to_stop(self) -> None:
        if self._stop.is_set():  # a second signal: somebody is in a hurry
            for generation in (self._serving, *self._retiring):
                if generation is not None:
                    generation.kill()
        self._stop.set()

    async def _work(self, config: Config) -> None:
        """Start, and reload when asked to; ends only by an exception."""
        try:
            self._serving = await self._start(config, None)
        except NotReady as error:  # it has told why
            raise Failure(str(error), max(error.status, EXIT_FAILURE)) from None
        except NatsServerError as error:
            raise Failure(str(error)) from error
        self._announce("ready", self._serving)
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._replace(self._serving)

    async def _start(self, config: Config, before: Generation | None) -> Generation:
        """Workers that are ready, on the sockets that ``before`` has as far as they are the same."""
        listening = Listening.on(config, before.listening if before else None)
        try:
            self._number += 1
            directory = self._directory / str(self._number)
            generation = Generation(await self._with_bus(config), listening, directory)
            await generation.start()
        except BaseException:
            listening.close(but=before.listening if before else None)
            raise
        return generation

    async def _with_bus(self, config: Config) -> Config:
        """The settings with the URL of a bus; if they name none, with that of a nats-server of our own."""
        if config.bus.url is not None or config.workers == 1:
            return config
        if self._nats is None:
            nats = NatsServer(self._directory)
            await nats.start()
            self._nats = nats
            self._watching = asyncio.create_task(nats.run(self._stop))
        return replace(config, bus=replace(config.bus, url=self._nats.url))

    async def _replace(self, old: Generation) -> None:
        """Put workers with the configuration as it is now in the place of ``old``, or leave all as it is."""
        try:
            config = self._load()
            new = await self._start(config, old)
        except ConfigError as error:
            log.error("not reloaded", problems=error.problems)
            return
        except (Failure, NotReady, NatsServerError, OSError) as error:
            log.error("not reloaded", problems=[str(error)])
            return
        logs.configure(config.log.format, config.log.level)
        self._serving = new
        old.listening.close(but=new.listening)
        task = asyncio.create_task(old.end(RETIRE))
        self._retiring[old] = task
        task.add_done_callback(lambda _: self._retiring.pop(old))
        self._announce("reloaded", new)

    def _announce(self, event: str, generation: Generation) -> None:
        log.info(
            event,
            version=__version__,
            http=generation.listening.addresses("http"),
            smtp=generation.listening.addresses("smtp"),
            lmtp=generation.listening.addresses("lmtp"),
            submission=[
                address
                for section in ("submission", "submission-tls")
                for address in generation.listening.addresses(section)
            ],
            data_dir=str(generation.config.data_dir),
            workers=generation.config.workers,
        )

    async def _end(self) -> None:
        """End every worker, and then the nats-server."""
        self._stop.set()
        if self._serving is not None:
            self._serving.listening.close()
        generations = [*self._retiring, *([self._serving] if self._serving else [])]
        await asyncio.gather(*(generation.end(STOP) for generation in generations))
        if self._nats is not None and self._watching is not None:
            await self._watching
            await self._nats.stop()
