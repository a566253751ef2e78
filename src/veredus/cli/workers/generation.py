"""The workers of one configuration: started together, kept alive, ended together."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path

import structlog

from veredus.cli.workers.child import Child, NotReady, ending
from veredus.cli.workers.listening import Listening
from veredus.cli.workers.orders import STOP, Orders
from veredus.config.settings import Config

# A worker that lives shorter than this was not well from the start; the second such waits, and each later
# one twice as long.
_SHORT_LIFE_S = 10.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 10.0
# Longer than what is in flight in HTTP, SMTP and LMTP may take to end, after `http.drain`.
_PATIENCE_S = 120.0

log = structlog.get_logger("veredus.workers")


class Generation:
    """N workers with the same configuration and sockets."""

    def __init__(self, config: Config, listening: Listening, directory: Path) -> None:
        """``directory``: of this generation alone, for the sockets between its workers."""
        self.config, self.listening, self.directory = config, listening, directory
        self._children: dict[int, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        # What every worker has been told; None: to serve.
        self._order: bytes | None = None
        self._is_ending = asyncio.Event()

    async def start(self) -> None:
        """Return when all serve. Raises NotReady, and then none is left.

        The first alone: what is wrong is said once, and one process makes the database.
        """
        self.directory.mkdir(mode=0o700)
        try:
            await self._start(1)
            async with asyncio.TaskGroup() as tasks:
                for worker in range(2, self.config.workers + 1):
                    tasks.create_task(self._start(worker))
        except BaseException as error:
            self.kill()
            for child in self._children.values():
                await child.ended()
            self._remove_directory()
            if isinstance(error, BaseExceptionGroup):
                raise error.exceptions[0] from None
            raise
        self._keepers = [asyncio.create_task(self._keep(child)) for child in self._children.values()]

    async def _start(self, worker: int) -> None:
        await (await self._spawn(worker)).ready()

    async def _spawn(self, worker: int) -> Child:
        sockets = {
            section: [sock.fileno() for sock in each] for section, each in self.listening.by_section().items()
        }
        child = await Child.start(Orders(worker, self.config, sockets, self.directory))
        self._children[worker] = child
        if self._order is not None:  # given to the others meanwhile
            await child.tell(self._order)
        return child

    async def _keep(self, child: Child) -> None:
        """Have a worker in this place until the generation ends."""
        loop = asyncio.get_running_loop()
        short_lives = 0
        while True:
            status = await child.ended()
            if self._is_ending.is_set():
                if status:
                    log.warning("worker not ended in order", worker=child.worker, reason=ending(status))
                return
            lived = loop.time() - child.began
            short_lives = short_lives + 1 if lived < _SHORT_LIFE_S else 0
            pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (short_lives - 2)) if short_lives > 1 else 0
            log.warning(
                "worker replaced", worker=child.worker, pid=child.pid, reason=ending(status), pause_s=pause_s
            )
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._is_ending.wait(), pause_s)
                if self._is_ending.is_set():
                    return
                try:
                    child = await self._spawn(child.worker)
                    break
                except OSError as error:  # no memory, or too many processes
                    log.error("worker not started", worker=child.worker, error=str(error))
                    pause_s = _LONGEST_PAUSE_S
            with suppress(NotReady):  # then it has ended
                await child.ready()

    async def end(self, order: bytes) -> None:
        """Give every worker ``order`` (STOP or RETIRE) and wait for their end; may be called again."""
        self._order = order
        self._is_ending.set()
        for child in self._children.values():
            await child.tell(order)
        if self._keepers:
            patience_s = self.config.http.drain + _PATIENCE_S
            _, late = await asyncio.wait(self._keepers, timeout=patience_s)
            if late:
                log.error("workers killed", reason=f"they had not ended after {patience_s:.0f} s")
                self.kill()
                await asyncio.wait(late)
        self._remove_directory()

    def _remove_directory(self) -> None:
        """With the sockets that workers left which were killed."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        self._order = self._order or STOP
        self._is_ending.set()
        for child in self._children.values():
            child.kill()
