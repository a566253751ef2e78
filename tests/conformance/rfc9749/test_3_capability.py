"""Discovering the key of the server (RFC 9749 §3)."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from jmap import Jmap, new_user, open_server
from veredus.formats.webpush import decode_base64url

pytestmark = pytest.mark.rfc("9749", "3")

CAPABILITY = "urn:ietf:params:jmap:webpush-vapid"


async def session(user: Jmap, base_url: str = "http://test") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((await user.app.engine.session(user.identity, base_url))[0])
    return found


@pytest.mark.must
async def test_the_session_tells_the_public_key_as_browsers_take_it(jmap: Jmap) -> None:
    found = await session(jmap)
    value = found["capabilities"][CAPABILITY]
    assert set(value) == {"applicationServerKey"}
    point = decode_base64url(value["applicationServerKey"])
    assert len(point) == 65
    assert "=" not in value["applicationServerKey"]
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


async def test_it_is_a_capability_of_no_account_and_may_be_used(jmap: Jmap) -> None:
    found = await session(jmap)
    assert CAPABILITY not in found["accounts"][jmap.account]["accountCapabilities"]
    assert CAPABILITY not in found["primaryAccounts"]
    jmap.using.append(CAPABILITY)
    response = await jmap.request(["Core/echo", {"a": 1}, "0"])
    assert response["methodResponses"] == [["Core/echo", {"a": 1}, "0"]]


async def test_a_restart_keeps_the_key(tmp_path: Path) -> None:
    keys = []
    for address in ("one@example.com", "two@example.com"):
        async with open_server("sqlite", tmp_path) as app:
            keys.append((await session(await new_user(app, address)))["capabilities"][CAPABILITY])
    assert keys[0] == keys[1]
