"""An S3-compatible server for tests: moto behind a real socket, with a clock and a gate for its requests."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch
from urllib.request import Request, urlopen

import obstore
import pytest
from moto import settings as moto_settings
from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import FakeBucket, s3_backends
from obstore.store import S3Store
from werkzeug.serving import make_server

from veredus.blob.s3_bucket import S3Settings

BUCKET = "mail"

# (method, path with query) of a request; True: it waits.
Matches = Callable[[str, str], bool]


class KeepAlive(MotoRequestHandler):
    """As every real server does."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Not a line for each request."""


class S3Server:
    """Listens until ``close``."""

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._gates: list[Gate] = []
        self.requests: list[tuple[str, str]] = []
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=KeepAlive)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, name="s3", daemon=True)
        self._thread.start()

    def _answer(self, environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"] + ("?" + environ["QUERY_STRING"] if environ["QUERY_STRING"] else "")
        self.requests.append((environ["REQUEST_METHOD"], path))
        for gate in list(self._gates):
            if gate.matches(environ["REQUEST_METHOD"], path):
                gate.arrived.set()
                gate.opened.wait(20)
                if gate.refuses:
                    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                    start_response(gate.refuses, [("Content-Length", "0")])
                    return [b""]
        return self._app(environ, start_response)

    def make_bucket(self, name: str = BUCKET) -> str:
        """A new, empty bucket; its name."""
        urlopen(Request(f"{self.endpoint}/{name}", method="PUT"), timeout=10).close()
        return name

    def put(self, key: str, data: bytes) -> None:
        """As another program would."""
        store = S3Store(
            BUCKET, endpoint=self.endpoint, access_key_id="other", secret_access_key="secret",
            region="us-east-1", client_options={"allow_http": True},
        )  # fmt: skip
        obstore.put(store, key, data)

    def forget(self) -> None:
        """All buckets are gone."""
        s3_backends.reset()
        self.requests.clear()

    def settings(self, name: str = BUCKET, prefix: str = "a/prefix") -> S3Settings:
        return S3Settings(f"s3://{name}/{prefix}", self.endpoint, "us-east-1", "key-id", "the-secret")

    def bucket(self, name: str = BUCKET) -> FakeBucket:
        """What the server has: ``keys`` and ``multiparts``."""
        return s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[name]

    @contextmanager
    def gate(self, matches: Matches) -> Iterator["Gate"]:
        """Requests that match wait until it is opened, at the latest until the end."""
        gate = Gate(matches)
        self._gates.append(gate)
        try:
            yield gate
        finally:
            self._gates.remove(gate)
            gate.opened.set()

    @contextmanager
    def refusing(self, status: str, matches: Matches) -> Iterator["Gate"]:
        """Requests that match are answered with this status line."""
        with self.gate(matches) as gate:
            gate.refuses = status
            gate.opened.set()
            yield gate

    @contextmanager
    def short_pages(self, length: int = 50) -> Iterator[None]:
        """Lists are told in pages of this length, so that few objects make many."""
        with patch.dict(os.environ, {"MOTO_S3_DEFAULT_MAX_KEYS": str(length)}):
            yield

    @contextmanager
    def strict(self) -> Iterator[None]:
        """Credentials are checked; nobody has any."""
        with patch.object(moto_settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0):
            yield

    @contextmanager
    def clock(self, now: Callable[[], float]) -> Iterator[None]:
        """The server's time. Like Amazon's it counts whole seconds."""

        def utcnow() -> datetime:
            return datetime.fromtimestamp(int(now()), UTC).replace(tzinfo=None)

        with patch("moto.s3.models.utcnow", utcnow):
            yield

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    """One for the tests of a module, which imports this; each makes its own bucket."""
    server = S3Server()
    yield server
    server.close()


@pytest.fixture
def s3(s3_server: S3Server) -> Iterator[S3Server]:
    """With an empty bucket."""
    s3_server.make_bucket()
    yield s3_server
    s3_server.forget()


class Gate:
    """``arrived`` when a request waits."""

    def __init__(self, matches: Matches) -> None:
        self.matches = matches
        self.arrived, self.opened = threading.Event(), threading.Event()
        self.refuses: str | None = None

    async def wait(self) -> None:
        """Until a request waits."""
        assert await asyncio.to_thread(self.arrived.wait, 20)
