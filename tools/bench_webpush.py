"""How many web push messages one core signs, encrypts and sends: ``python -m tools.bench_webpush``.

The sender has one core, the push service it sends to another. What counts is the processor time of the
sender, so that the numbers hold on a busy machine, too. With ``--json``: deliveries a second of it, by kind.
"""

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from tools.bench_server import ROOT
from veredus.app import SystemClock
from veredus.formats.webpush import VapidKey, encrypt, new_keys, vapid_authorization
from veredus.push.web.outcome import Bounds, Target
from veredus.push.web.sender import PushSender
from veredus.push.web.target import Guard

BODY = json.dumps(
    {"@type": "StateChange", "changed": {"Aabcdef0123456789": {"Email": "123456", "Mailbox": "123456"}}}
).encode()
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
CLOSE = CREATED.replace(b"Length: 0", b"Length: 0\r\nConnection: close")
# Name, whether encrypted, whether TLS, whether the push service keeps connections.
KINDS = (
    ("HTTPS, encrypted", True, True, True),
    ("HTTPS", False, True, True),
    ("HTTP, encrypted", True, False, True),
    ("HTTPS, encrypted, each on a new connection", True, True, False),
)
SUBJECT = "mailto:postmaster@example.com"


def main() -> None:
    args = _arguments()
    if args.sink:
        uvloop.run(_sink(None if args.sink == "plain" else args.sink, CLOSE if args.close else CREATED))
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    found = {}
    for name, encrypted, tls, keep in KINDS:
        with _push_service(cores[-1], tls, keep) as (port, certificate):
            rates = uvloop.run(_deliver(args, port, certificate, encrypted))
        found[name] = rates["per_cpu_s"]
        if not args.json:
            print(f"{name:43} {rates['per_cpu_s']:7,.0f} /s of CPU {rates['per_s']:7,.0f} /s")
    if args.json:
        print(json.dumps(found))
    else:
        _print_steps()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deliveries", type=int, default=5000)
    parser.add_argument(
        "--at-once", type=int, default=20, help="deliveries under way, each to its subscriber"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--sink", help=argparse.SUPPRESS)
    parser.add_argument("--close", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


async def _deliver(args: argparse.Namespace, port: int, ca: Path | None, encrypted: bool) -> dict[str, float]:
    """Rates of deliveries to as many subscribers as there are deliveries at once."""
    guard = Guard(["127.0.0.0/8"])
    sender = PushSender(
        guard, SUBJECT, SystemClock(), ca_file=ca, bounds=Bounds(connections_per_host=args.at_once)
    )
    url = f"{'https' if ca else 'http'}://127.0.0.1:{port}/push/"
    key = VapidKey.generate()
    targets = [
        Target(f"{url}{number}", new_keys()[1] if encrypted else None, key) for number in range(args.at_once)
    ]

    async def worker(target: Target, deliveries: int) -> None:
        for _ in range(deliveries):
            outcome = await sender.send(target, BODY, ttl=3600, urgency="normal", topic="state")
            if outcome.kind != "delivered":
                raise SystemExit(f"not delivered: {outcome}")

    async def all_of(deliveries: int) -> None:
        await asyncio.gather(*(worker(target, deliveries) for target in targets))

    await all_of(5)
    each = args.deliveries // args.at_once
    wall, cpu = time.perf_counter(), time.process_time()
    with _profile(args.profile):
        await all_of(each)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    await sender.close()
    guard.close()
    return {"per_s": each * args.at_once / wall, "per_cpu_s": each * args.at_once / cpu}


@contextmanager
def _profile(wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    profile = cProfile.Profile()
    with profile:
        yield
    pstats.Stats(profile).sort_stats("tottime").print_stats(20)


def _print_steps() -> None:
    """What the cryptography of a delivery costs by itself."""
    _, keys = new_keys()
    key = VapidKey.generate()
    steps: dict[str, Callable[[], Any]] = {
        "encrypt": lambda: encrypt(BODY, keys.p256dh, keys.auth),
        "sign (once in 6 h and push service)": lambda: vapid_authorization("https://a.b", SUBJECT, 1, key),
    }
    for name, step in steps.items():
        began = time.process_time()
        for _ in range(2000):
            step()
        print(f"{name}: {(time.process_time() - began) / 2000 * 1e6:,.0f} us")


# ------------------------------------------------------------ the push service


@contextmanager
def _push_service(core: int, tls: bool, keep: bool) -> Iterator[tuple[int, Path | None]]:
    """One that accepts everything, in a process on a core of its own: its port and its certificate."""
    with tempfile.TemporaryDirectory() as directory:
        pem = Path(directory) / "sink.pem"
        if tls:
            _make_certificate(pem)
        command = [sys.executable, "-m", "tools.bench_webpush", "--sink", str(pem) if tls else "plain"]
        command += [] if keep else ["--close"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            os.sched_setaffinity(process.pid, {core})
            assert process.stdout is not None
            port = int(process.stdout.readline())
            try:
                yield port, pem if tls else None
            finally:
                process.terminate()


def _make_certificate(pem: Path) -> None:
    """Key and certificate in one file."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=sink", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(pem), "-out", f"{pem}.crt"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + Path(f"{pem}.crt").read_text())


class _Sink(asyncio.Protocol):
    """HTTP/1.1 as far as our sender needs it: answers each request once its body is there."""

    def __init__(self, answer: bytes) -> None:
        self._answer, self._left = answer, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._left += data
        while (end := self._left.find(b"\r\n\r\n")) >= 0:
            head = self._left[:end].lower()
            size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(self._left) < end + 4 + size:
                return
            self._left = self._left[end + 4 + size :]
            self._transport.write(self._answer)
            if self._answer is CLOSE:
                self._transport.close()


async def _sink(pem: str | None, answer: bytes) -> None:
    tls = None
    if pem is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem)
    server = await asyncio.get_running_loop().create_server(lambda: _Sink(answer), "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main()
