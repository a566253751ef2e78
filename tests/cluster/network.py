"""Hosts of a network of the test's own: a namespace each, and one more with the switch between them.

Nothing leads out of it. Two hosts can be parted without anybody being told: each sends its frames to an address
that nobody has. A host's link can be made slow and lossy: its frames then pass through a process of ours
(``wire``), since not every kernel has netem.
"""

import asyncio
import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

_NOBODY = "02:00:00:00:00:ff"
_NEWNET = 0x40000000
_WIRE = Path(__file__).parent / "wire.py"


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def why_not() -> str | None:
    """Why this machine can have no such network; None: it can."""
    if os.geteuid() != 0:
        return "needs root: network namespaces"
    if shutil.which("ip") is None:
        return "needs ip, of iproute2"
    done = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True, text=True)
    return f"needs network namespaces: {done.stderr.strip()}" if done.returncode else None


def _remove_left() -> None:
    """Networks of processes that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        found = re.match(r"vr(\d+)[a-z]", line)
        if found and not Path(f"/proc/{found[1]}").exists():
            name = line.split()[0]
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class Network:
    """Hosts by name; the first is 10.231.0.1, and so on."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._prefix = f"vr{os.getpid()}"
        self._parted: set[frozenset[str]] = set()
        self._wires: dict[str, subprocess.Popen[bytes]] = {}

    def address(self, name: str) -> str:
        return f"10.231.0.{self.names.index(name) + 1}"

    def prefix(self, name: str) -> tuple[str, ...]:
        """Words before a command that make it run on that host, in the same process."""
        return ("ip", "netns", "exec", self._namespace(name))

    def __enter__(self) -> "Network":
        _remove_left()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._wires):
            self.quicken(name)
        for name in ("switch", *self.names):
            subprocess.run(["ip", "netns", "del", self._namespace(name)], check=False, capture_output=True)

    def _make(self) -> None:
        switch = self._namespace("switch")
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        _ip("-n", switch, "link", "set", "bridge", "up")
        for number, name in enumerate(self.names):
            host = self._namespace(name)
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
            _ip(
                "-n",
                switch,
                "link",
                "add",
                f"p{number}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                host,
            )
            _ip("-n", host, "link", "set", "eth0", "address", self._hardware(name))
            _ip("-n", host, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
            _ip("-n", host, "link", "set", "eth0", "up")
            _ip("-n", switch, "link", "set", f"p{number}", "up", "master", "bridge")
            # The other way from a host to the bridge: over a wire of ours, between p and w.
            _ip("-n", switch, "link", "add", f"w{number}", "type", "veth", "peer", "name", f"b{number}")
            _ip("-n", switch, "link", "set", f"w{number}", "up")
            _ip("-n", switch, "link", "set", f"b{number}", "up", "master", "bridge")
        for name in self.names:
            for other in self.names:
                if other != name:
                    self._lead(name, other, self._hardware(other))

    @contextlib.contextmanager
    def entered(self, name: str) -> Iterator[None]:
        """This thread, and the threads and processes that it starts, are on that host until the end."""
        libc = ctypes.CDLL(None, use_errno=True)
        with (
            open("/proc/thread-self/ns/net", "rb") as home,
            open(f"/run/netns/{self._namespace(name)}", "rb") as host,
        ):
            if libc.setns(host.fileno(), _NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if libc.setns(home.fileno(), _NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")

    # -------------------------------------------------------------- faults

    def part(self, one: str, other: str) -> None:
        """Not one packet passes between them, either way; nobody is told."""
        if frozenset((one, other)) not in self._parted:
            self._parted.add(frozenset((one, other)))
            self._lead(one, other, _NOBODY)
            self._lead(other, one, _NOBODY)

    def join(self, one: str, other: str) -> None:
        if frozenset((one, other)) in self._parted:
            self._parted.discard(frozenset((one, other)))
            self._lead(one, other, self._hardware(other))
            self._lead(other, one, self._hardware(one))

    async def slow(self, name: str, delay_ms: float, loss: float, seed: int) -> None:
        """Each packet from and to the host takes so long, up to double, and such a part of them is lost."""
        number = self.names.index(name)
        words = [f"p{number}", f"w{number}", str(delay_ms), str(loss), str(seed)]
        switch = self._namespace("switch")
        wire = await asyncio.to_thread(
            subprocess.Popen,
            ["ip", "netns", "exec", switch, sys.executable, "-IS", str(_WIRE), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert wire.stdout is not None
        ready = await asyncio.to_thread(wire.stdout.readline)
        assert ready == b"ready\n"
        self._wires[name] = wire
        _ip("-n", switch, "link", "set", f"p{number}", "nomaster")

    def quicken(self, name: str) -> None:
        wire = self._wires.pop(name, None)
        if wire is not None:
            number = self.names.index(name)
            with contextlib.suppress(OSError):
                _ip("-n", self._namespace("switch"), "link", "set", f"p{number}", "master", "bridge")
            wire.send_signal(signal.SIGKILL)
            wire.wait()
            assert wire.stdout is not None
            wire.stdout.close()

    # -------------------------------------------------------------- names

    def _lead(self, name: str, other: str, hardware: str) -> None:
        """Where ``name`` sends what is for ``other``."""
        words = (
            "neigh",
            "replace",
            self.address(other),
            "lladdr",
            hardware,
            "nud",
            "permanent",
            "dev",
            "eth0",
        )
        _ip("-n", self._namespace(name), *words)

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _hardware(self, name: str) -> str:
        return f"02:00:00:00:00:{self.names.index(name) + 1:02x}"
