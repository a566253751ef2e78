"""EventSource and WebSocket over TLS, whose transports are others than those of plain sockets."""

import asyncio
import json
import ssl
from pathlib import Path

import pytest
import uvloop
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from edges.test_http_connections import make_certificate
from jmap import message, new_user, open_server
from veredus.config.mail_settings import Lmtp
from veredus.config.settings import Http, Tls
from veredus.serving import serve


async def _both_streams_tell(directory: Path) -> None:
    certificate, key = make_certificate(directory, "localhost")
    trust = ssl.create_default_context(cafile=certificate)
    async with open_server("memory", directory) as app:
        user = await new_user(app)
        _, token = await app.accounts.create_token(user.identity.user, "test", "write", app.clock.now())
        settings = {
            "http": Http(listen=("127.0.0.1:0",)),
            "lmtp": Lmtp(listen=()),
            "tls": Tls(mode="files", cert=Path(certificate), key=Path(key)),
        }
        for name, value in settings.items():
            object.__setattr__(app.config, name, value)
        async with serve(app) as servers, asyncio.timeout(30):
            port = int(servers.http.addresses[0].rpartition(":")[2])
            bearer = {"Authorization": f"Bearer {token}"}
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=trust, server_hostname="localhost"
            )
            writer.write(
                "GET /jmap/eventsource?types=Email&closeafter=no&ping=0 HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: {bearer['Authorization']}\r\n\r\n".encode()
            )
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            async with connect(
                f"wss://localhost:{port}/jmap/ws", ssl=trust, subprotocols=[Subprotocol("jmap")],
                additional_headers=bearer, proxy=None, max_size=None,
            ) as socket:  # fmt: skip
                await socket.send('{"@type":"WebSocketPushEnable","dataTypes":["Email"]}')
                # More than any buffer of the connection holds: the answer waits, and still comes whole.
                text = "x" * 3_000_000
                echo = ["Core/echo", {"text": text}, "0"]
                await socket.send(
                    json.dumps(
                        {"@type": "Request", "using": ["urn:ietf:params:jmap:core"], "methodCalls": [echo]}
                    )
                )
                answer = json.loads(await socket.recv())
                assert answer["methodResponses"] == [echo]
                for number in range(3):
                    await user.import_email(message(f"Message {number}"))
                    state = await user.state("Email")
                    change = json.loads(await socket.recv())
                    assert change["changed"] == {user.account: {"Email": state}}
                    await reader.readuntil(f'"Email":"{state}"'.encode())
            writer.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_streams_over_tls_tell_of_each_change(tmp_path: Path, loop: str) -> None:
    run = asyncio.run if loop == "asyncio" else uvloop.run
    await asyncio.to_thread(run, _both_streams_tell(tmp_path))
