"""The HTTP edge with the real engine, stores and passwords behind it (RFC 8620 §2, §3, §6)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from veredus.app import open_app
from veredus.config.mail_settings import Lmtp
from veredus.config.settings import Blobs, Config, Http, Storage
from veredus.serving import serve

CORE = "urn:ietf:params:jmap:core"


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    config = Config(
        data_dir=tmp_path,
        storage=Storage(url="memory"),
        blobs=Blobs(url="memory"),
        http=Http(listen=("127.0.0.1:0",)),
        lmtp=Lmtp(listen=()),
    )
    async with open_app(config, types=()) as app:
        await app.add_account("alice@localhost", "alice")
        await app.add_account("bob@localhost", "bob")
        async with serve(app) as servers:
            url = f"http://{servers.http.addresses[0]}"
            auth = ("alice@localhost", "alice")
            async with httpx.AsyncClient(base_url=url, auth=auth, verify=False, trust_env=False) as client:
                yield client


@pytest.mark.rfc("8620", "2")
async def test_the_urls_of_the_session_work(client: httpx.AsyncClient) -> None:
    session = (await client.get("/.well-known/jmap")).json()
    assert session["username"] == "alice@localhost"
    account = session["primaryAccounts"]["urn:ietf:params:jmap:mail"]

    upload = await client.post(
        session["uploadUrl"].replace("{accountId}", account), content=b"hello" * 50_000
    )
    assert upload.status_code == 201
    blob: dict[str, Any] = upload.json()
    assert (blob["accountId"], blob["size"]) == (account, 250_000)

    url = session["downloadUrl"]
    for name, value in {
        "accountId": account,
        "blobId": blob["blobId"],
        "name": "a.txt",
        "type": "text%2Fplain",
    }.items():
        url = url.replace(f"{{{name}}}", value)
    download = await client.get(url)
    assert (download.content, download.headers["content-type"]) == (b"hello" * 50_000, "text/plain")
    part = await client.get(url, headers={"range": "bytes=249995-"})
    assert (part.status_code, part.content) == (206, b"hello")

    request = {"using": [CORE], "methodCalls": [["Core/echo", {"x": 1}, "c"]]}
    answer = (await client.post(session["apiUrl"], json=request)).json()
    assert answer["methodResponses"] == [["Core/echo", {"x": 1}, "c"]]
    assert answer["sessionState"] == session["state"]


async def test_what_belongs_to_another_does_not_exist(client: httpx.AsyncClient) -> None:
    bob = (await client.get("/jmap/session", auth=("bob@localhost", "bob"))).json()
    account = next(iter(bob["accounts"]))
    assert (await client.post(f"/jmap/upload/{account}/", content=b"x")).status_code == 404
    assert (await client.get(f"/jmap/download/{account}/B1/x")).status_code == 404


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "notJSON"),
        (b'{"using":[],', "notJSON"),
        (b'{"using":["\\ud800"],"methodCalls":[]}', "notJSON"),
        (b'{"using":[],"using":[],"methodCalls":[]}', "notJSON"),
        (b"\xff", "notJSON"),
        (b"[" * 100_000, "notJSON"),
        (b"[]", "notRequest"),
        (b'{"using":[],"methodCalls":[["Core/echo",{}]]}', "notRequest"),
        (b'{"using":["urn:x"],"methodCalls":[]}', "unknownCapability"),
    ],
)
@pytest.mark.rfc("8620", "3.6.1")
async def test_request_level_errors(client: httpx.AsyncClient, body: bytes, kind: str) -> None:
    response = await client.post("/jmap", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (400, "application/problem+json")
    assert response.json()["type"] == f"urn:ietf:params:jmap:error:{kind}"


async def test_a_wrong_password_and_a_strange_scheme_are_refused(client: httpx.AsyncClient) -> None:
    for authorization in ("Basic YWxpY2VAbG9jYWxob3N0Ong=", "Basic !!", "Digest x", "Basic", "\xff\xfe"):
        response = await client.get(
            "/jmap/session", headers={"authorization": authorization.encode("latin-1")}, auth=None
        )
        assert response.status_code == 401
        assert response.headers["www-authenticate"]


async def test_it_is_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ready", "problems": []}
