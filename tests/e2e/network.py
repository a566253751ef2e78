"""A host of the test's own: a network namespace with as many links to this one as the test wants to cut."""

import asyncio
import os
import subprocess
from typing import Any

import pytest


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Host:
    """A namespace; each link is a network of its own, ``10.231.N.1`` here and ``10.231.N.2`` there."""

    def __init__(self, links: int) -> None:
        self.name = f"vrd{os.getpid() % 10_000}"
        self._links = [f"{self.name}x{number}" for number in range(links)]

    def address(self, link: int) -> str:
        """Of the host, over this link."""
        return f"10.231.{link}.2"

    def __enter__(self) -> "Host":
        try:
            _ip("netns", "add", self.name)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            pytest.skip(f"needs ip netns: {error}")
        _ip("-n", self.name, "link", "set", "lo", "up")
        for number, link in enumerate(self._links):
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth", "netns", self.name)
            _ip("-n", self.name, "link", "set", "eth", "name", f"eth{number}")
            _ip("-n", self.name, "addr", "add", f"{self.address(number)}/30", "dev", f"eth{number}")
            _ip("-n", self.name, "link", "set", f"eth{number}", "up")
            _ip("addr", "add", f"10.231.{number}.1/30", "dev", link)
            _ip("link", "set", link, "up")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)

    def cut(self, link: int) -> None:
        """Not one packet passes; nobody is told."""
        _ip("link", "set", self._links[link], "down")

    def join(self, link: int) -> None:
        _ip("link", "set", self._links[link], "up")

    async def run(self, *command: str, **options: Any) -> asyncio.subprocess.Process:
        """A process on that host."""
        return await asyncio.create_subprocess_exec("ip", "netns", "exec", self.name, *command, **options)
