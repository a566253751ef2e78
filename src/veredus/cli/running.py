"""Running a server until it is told to stop: event loop, signals, periodic work, process id file."""

import asyncio
import errno
import gc
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from veredus.cli import busy
from veredus.cli.common import Failure

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.config import Config
    from veredus.http.routes import Route
    from veredus.reception import Delivery
    from veredus.serving import Place, Running

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """In the event loop that the servers are measured with."""
    import uvloop

    collect_less()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def collect_less() -> None:
    """Keep Python's cycle collector from going through everything that is cached every few requests.

    Decoded JSON is made of the very objects it counts, and none of ours form cycles that matter: with its own
    thresholds a Core/echo cost 165 us instead of 30.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


def addresses(config: "Config") -> list[str]:
    """Every address that is to be listened on."""
    submission = config.submission
    return [
        *config.http.listen,
        *config.smtp.listen,
        *config.lmtp.listen,
        *submission.listen,
        *submission.tls_listen,
    ]


def raise_open_files() -> int:
    """Let this process and its children have as many open files as they may; how many that is.

    The usual soft limit of 1,024 is for select(); every stream of a client is an open file.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # macOS: the kernel's own limit is below an endless hard one
            return soft
    return hard


async def serve_until_stopped(
    app: "App",
    announce: Callable[["Running"], Awaitable[None]],
    *,
    receive: Callable[["Delivery"], "Delivery"] | None = None,
    routes: "Sequence[Route]" = (),
) -> None:
    """`serve_until` SIGTERM or SIGINT comes; a second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin_to_stop() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_to_stop)
    await serve_until(stop, app, announce, receive=receive, routes=routes)


async def serve_until(
    stop: asyncio.Event,
    app: "App",
    announce: Callable[["Running"], Awaitable[None]],
    *,
    receive: Callable[["Delivery"], "Delivery"] | None = None,
    routes: "Sequence[Route]" = (),
    place: "Place | None" = None,
) -> None:
    """Open the sockets and the periodic work, and close them when ``stop`` is set and `http.drain` is over.

    ``announce`` is called when all listen. ``place``: of this process among several.
    """
    from veredus.app.upkeep import maintenance_of
    from veredus.serving import serve

    try:
        async with serve(app, receive=receive, routes=routes, place=place) as running:
            working = asyncio.create_task(maintenance_of(app).run(stop))
            try:
                await announce(running)
                await stop.wait()
                # Others may take it over while we drain.
                working.cancel()
                if place is None or not place.is_retired():
                    await running.drain(app.config.http.drain)
            finally:
                # A round may take minutes; what it has not done is for the next one.
                working.cancel()
                await asyncio.wait([working])
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            reason = busy.explain(addresses(app.config))
            if reason is not None:
                raise Failure(reason) from error
        raise


@contextmanager
def pidfile(path: Path | None) -> Iterator[None]:
    """Keep the process id in ``path``; refused when it names a process that is alive."""
    if path is None:
        yield
        return
    other = _alive(path)
    if other is not None:
        raise Failure(f"{path}: process {other} is running - stop it first, or name another --pidfile")
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _alive(path: Path) -> int | None:
    try:
        pid = int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # alive, and another user's
        return pid
    return None if pid == os.getpid() else pid
