"""``veredus serve`` as one of several, at an address and ports that stay the same."""

import json
import signal
import sys
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tools.cluster.process import Process, Where, free_port

_HERE = Where()
_SOURCES = Path(__file__).parent.parent.parent / "src"


class Node:
    """One node with its configuration file and its log."""

    def __init__(
        self, directory: Path, number: int, settings: str, *, drain_s: float = 2, where: Where = _HERE
    ) -> None:
        """``settings``: TOML without the sections http, lmtp and smtp; ``drain_s``: `http.drain`."""
        self.number, self.address = number, where.address
        self.http, self.lmtp = (port or free_port() for port in (where.http, where.lmtp))
        address = where.address
        self.config = directory / f"node{number}.toml"
        self.config.write_text(
            f"{settings}\n"
            f'[http]\nlisten = ["{address}:{self.http}"]\ndrain = "{drain_s:g}s"\n'
            f'trusted_proxies = ["{address}"]\n'
            f'[lmtp]\nlisten = ["{address}:{self.lmtp}"]\n[smtp]\nlisten = []\n'
        )
        self.process = Process(f"node{number}", directory / f"node{number}.log", where.prefix)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.http}"

    async def start(self) -> None:
        """Returns when it is ready. Raises NotStarted."""
        await self.begin()
        await self.process.until(self.is_ready, "is ready")

    async def begin(self) -> None:
        """Start it, and do not wait until it is ready."""
        await self.process.start(
            *(sys.executable, "-m", "veredus", "serve", "--config", self.config),
            env={"PYTHONPATH": str(_SOURCES)},
        )

    def is_ready(self) -> bool:
        """What /readyz says."""
        return self.readiness()[0] == 200

    def readiness(self) -> tuple[int, list[str]]:
        """Status of /readyz, and the problems; 0: nobody answers."""
        try:
            status, body = self._get("/readyz")
        except (OSError, HTTPException):
            return 0, []
        return status, json.loads(body)["problems"]

    def streams(self) -> int:
        """How many EventSource and WebSocket connections it has. Raises OSError, HTTPException."""
        lines = self._get("/metrics")[1].splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("veredus_push_streams{"))

    def _get(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection(self.address, self.http, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    async def stop(self) -> int | None:
        """SIGTERM; its exit status when what was in flight has ended."""
        return await self.process.stop(signal.SIGTERM)

    async def kill(self) -> None:
        await self.process.kill()

    def errors(self) -> list[str]:
        """Lines of its log that tell of a fault."""
        lines = self.process.log.read_text(errors="replace").splitlines()
        return [line for line in lines if '"level":"error"' in line.replace(": ", ":") or "Traceback" in line]
