"""haproxy before three nodes, with the configuration that operators get: deploy/haproxy.cfg."""

import csv
import io
import os
import shutil
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path

from tools.cluster.node import Node
from tools.cluster.process import NotStarted, Process, Where, free_port

_HERE = Where()
CONFIG = Path(__file__).parent.parent.parent / "deploy" / "haproxy.cfg"


def program() -> str:
    """Where haproxy is; Debian has it where users of a shell do not look. Raises NotStarted."""
    found = shutil.which(
        "haproxy", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    )
    if found is None:
        raise NotStarted("haproxy is not installed: apt install haproxy")
    return found


class Haproxy:
    """Listens for HTTP, LMTP and its own statistics."""

    def __init__(
        self, directory: Path, nodes: Sequence[Node], *, check: str = "200ms", where: Where = _HERE
    ) -> None:
        """``check``: how often nodes are asked for /readyz."""
        assert len(nodes) == 3
        self.address = where.address
        self.http, self.lmtp = (port or free_port() for port in (where.http, where.lmtp))
        self.stats = free_port()
        self._nodes, self._check = nodes, check
        self.process = Process("haproxy", directory / "haproxy.log", where.prefix)

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.http}"

    @property
    def environment(self) -> dict[str, str]:
        """What it is told; the rest is in the file."""
        told = {"VEREDUS_CHECK": self._check}
        for name, port in (("HTTP", self.http), ("LMTP", self.lmtp), ("STATS", self.stats)):
            told[f"VEREDUS_{name}"] = f"{self.address}:{port}"
        for number, node in enumerate(self._nodes, 1):
            told[f"VEREDUS_NODE{number}_HTTP"] = f"{node.address}:{node.http}"
            told[f"VEREDUS_NODE{number}_LMTP"] = f"{node.address}:{node.lmtp}"
        return told

    async def start(self) -> None:
        """Returns when it takes connections and knows every node as up. Raises NotStarted."""
        await self.process.start(program(), "-db", "-f", CONFIG, env=self.environment)
        await self.process.listening(self.address, self.stats)
        for number in range(1, len(self._nodes) + 1):
            await self.knows(number, "UP")

    async def knows(self, number: int, status: str) -> None:
        """Wait until node ``number`` is ``UP`` or ``DOWN`` for it. Raises NotStarted."""
        await self.process.until(
            lambda: self._status(number).startswith(status), f"knows node{number} as {status}"
        )

    def _status(self, number: int) -> str:
        connection = HTTPConnection(self.address, self.stats, timeout=10)
        try:
            connection.request("GET", "/;csv")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        for row in csv.DictReader(io.StringIO(text)):
            if (row["# pxname"], row["svname"]) == ("nodes", f"node{number}"):
                return row["status"]
        raise NotStarted(f"haproxy knows no node{number}")
