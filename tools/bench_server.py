"""Servers to be measured: one of ours, fresh, on ports of its own; or one that runs already."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HTTP, LMTP = 18580, 12424
PASSWORD = "benchpw"


@dataclass(frozen=True)
class Target:
    """Where a server is, how to count what it uses, and where its results go."""

    label: str
    url: str
    lmtp: str
    # --pid or --pidfile of the harness
    process: tuple[str, ...]
    # What stands behind the local part of a user.
    domain: str
    out: Path

    def user(self, name: str) -> str:
        return name + self.domain

    def harness(self, *arguments: str) -> None:
        """One command of the harness against this server."""
        common = ["--url", self.url, *self.process, "--password", PASSWORD, "--out", str(self.out)]
        common += ["--label", self.label, "--max-bg", "1.0"]
        command, *rest = arguments
        run([sys.executable, "-m", "tools.bench_client", command, *common, *rest])

    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.read_text()) if self.out.exists() else {}
        return found

    def note(self, key: str, value: Any) -> None:
        """Keep a result that the harness knows nothing of."""
        results = self.results()
        results.setdefault("own", {})[key] = value
        self.out.write_text(json.dumps(results, indent=1))


def run(command: Sequence[str], *, check: bool = True, **options: Any) -> subprocess.CompletedProcess[Any]:
    # The harness may be where nothing can be written.
    environment = os.environ | {"PYTHONPYCACHEPREFIX": str(ROOT / "build" / "pycache")}
    return subprocess.run(command, cwd=ROOT, env=environment, check=check, **options)


def configure(data: Path) -> list[str]:
    """Write a configuration; gives the beginning of a command line that uses it."""
    data.mkdir(parents=True, exist_ok=True)
    config = data / "bench.toml"
    config.write_text(
        f'data_dir = "{data}"\n'
        f'[http]\nlisten = ["127.0.0.1:{HTTP}"]\n'
        f'[lmtp]\nlisten = ["127.0.0.1:{LMTP}"]\n'
        "[limits]\nmax_concurrent_requests = 64\nmax_concurrent_upload = 64\n"
        '[quota]\ndefault_octets = "none"\n'
    )
    return [sys.executable, "-m", "veredus", "--config", str(config)]


def add_accounts(data: Path, users: Sequence[str]) -> None:
    veredus = configure(data)
    found = run([*veredus, "account", "ls", "--json"], check=False, capture_output=True)
    known = {user["id"] for user in json.loads(found.stdout)} if found.returncode == 0 else set()
    for user in users:
        if f"{user}@localhost" not in known:
            add = [*veredus, "account", "add", f"{user}@localhost", "--password-stdin"]
            run(add, input=f"{PASSWORD}\n".encode(), stdout=subprocess.DEVNULL)


@contextmanager
def server(data: Path, out: Path, *options: str) -> Iterator[Target]:
    """A server of ours on this data; ``options`` are those of `veredus serve`."""
    with (data / "server.log").open("wb") as log:
        process = subprocess.Popen([*configure(data), "serve", *options], cwd=ROOT, stdout=log, stderr=log)
        try:
            _wait_until_up(process, data / "server.log")
            url = f"http://127.0.0.1:{HTTP}/.well-known/jmap"
            pid = ("--pid", str(process.pid))
            yield Target("Veredus", url, f"127.0.0.1:{LMTP}", pid, "@localhost", out)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_up(process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            sys.exit(f"the server ended:\n{log.read_text()[-2000:]}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", HTTP)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"the server does not listen on port {HTTP}")


def memory(pid: str) -> dict[str, float]:
    """Resident memory of a process in MB: now, and at most."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "rss_mb": int(fields["VmRSS"].split()[0]) / 1000,
        "peak_mb": int(fields["VmHWM"].split()[0]) / 1000,
    }
