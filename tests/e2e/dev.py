"""`veredus dev` as a process, on free ports."""

import smtplib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from cli.running import free_port, server, wait_for

MESSAGE = "From: x@example.org\nSubject: hello\n\nhello\n"


class Dev:
    """A running server with the users alice@localhost and bob@localhost."""

    def __init__(self, http: int, lmtp: int, log: Path) -> None:
        self.url, self._lmtp, self.log = f"http://127.0.0.1:{http}", lmtp, log

    def deliver(self, to: str = "alice@localhost") -> None:
        with smtplib.LMTP("127.0.0.1", self._lmtp) as client:
            client.sendmail("x@example.org", [to], MESSAGE)

    async def metrics(self) -> list[str]:
        """The lines of /metrics."""
        async with httpx.AsyncClient(trust_env=False, verify=False) as http:
            return (await http.get(f"{self.url}/metrics")).text.splitlines()


@contextmanager
def running(directory: Path, *options: object, ports: Sequence[int] = ()) -> Iterator[Dev]:
    """With these options; at the end it is told to stop, and must."""
    http, smtp, lmtp = ports or [free_port() for _ in range(3)]
    where = ("--http-port", http, "--smtp-port", smtp, "--lmtp-port", lmtp)
    log = directory / "log"
    with server("dev", "--demo", 5, *where, *options, log=log, cwd=directory) as process:
        wait_for(lmtp, process, log)
        yield Dev(http, lmtp, log)
    assert process.returncode == 0, log.read_text()
