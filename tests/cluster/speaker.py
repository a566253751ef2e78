"""How a client of the cluster speaks to its nodes, and what it may conclude when no answer comes."""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any

import aiohttp
from msgspec import Struct

from cluster.node import LMTP_PORT, Node
from e2e.clients import MailClient, Refused
from jmap import USING

# Longer than every fault but the longest pauses: a slow answer is an answer. Some clients wait for less, so that
# they do not know of what was done.
_PATIENT_S = 8.0
_ANSWER_S = (0.05, 0.3, 1.0, _PATIENT_S, _PATIENT_S, _PATIENT_S, _PATIENT_S, _PATIENT_S)
_CONNECT_S = 1.5


class NotDone(Exception):
    """For sure nothing was changed. ``type``: of a method-level error."""

    def __init__(self, text: str, type: str = "") -> None:
        super().__init__(text)
        self.type = type


class Unknown(Exception):
    """It may have been done, or may yet be."""


class Account(Struct):
    """An account and who may use it."""

    id: str
    address: str
    token: str
    # Where mail may be moved to.
    mailboxes: tuple[str, ...] = ()
    inbox: str = ""


class Speaker:
    """One client's connections; any node will do for any call. ``troubles``: answers that no fault excuses."""

    def __init__(self, troubles: list[str], chance: random.Random | None = None) -> None:
        """``chance``: for how long each answer is waited for; None: always long."""
        self.troubles, self._chance = troubles, chance
        self._http = aiohttp.ClientSession(trust_env=False)

    def _timeout(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=self._patience_s, sock_connect=_CONNECT_S)

    @property
    def _patience_s(self) -> float:
        return self._chance.choice(_ANSWER_S) if self._chance else _PATIENT_S

    async def close(self) -> None:
        await self._http.close()

    async def calls(
        self, node: Node, account: Account, calls: Sequence[tuple[str, dict[str, Any]]]
    ) -> list[Any]:
        """Names and arguments of the responses to one request. Raises NotDone or Unknown."""
        invocations = [[name, {"accountId": account.id, **args}, "c"] for name, args in calls]
        body = await self._post(node, account, "/jmap", {"using": USING, "methodCalls": invocations})
        return [(name, response) for name, response, _ in body["methodResponses"]]

    async def call(self, node: Node, account: Account, method: str, /, **args: Any) -> Any:
        """The response to one call. Raises NotDone or Unknown."""
        [(name, response)] = await self.calls(node, account, [(method, args)])
        return self.judge(node, method, name, response)

    def judge(self, node: Node, method: str, name: str, response: Any) -> Any:
        """The response, unless it is an error."""
        if name != "error":
            return response
        type = response["type"]
        text = f"{method} over {node.name}: {json.dumps(response)}"
        if type in ("serverUnavailable", "serverPartialFail"):
            raise Unknown(text)
        if type not in ("stateMismatch",):
            self.troubles.append(text)
        if type == "serverFail":
            raise Unknown(text)
        raise NotDone(text, type)

    async def upload(self, node: Node, account: Account, data: bytes) -> str:
        """The blobId."""
        body = await self._post(node, account, f"/jmap/upload/{account.id}/", data)
        return str(body["blobId"])

    async def _post(self, node: Node, account: Account, path: str, body: Any) -> Any:
        headers = {"authorization": f"Bearer {account.token}", "content-type": "application/json"}
        if isinstance(body, bytes):
            headers["content-type"] = "message/rfc822"
        else:
            body = json.dumps(body).encode()
        try:
            async with self._http.post(
                node.url + path, data=body, headers=headers, timeout=self._timeout()
            ) as answer:
                text = await answer.text()
                if answer.status >= 500:
                    if answer.status != 503:
                        self.troubles.append(f"{path} over {node.name}: {answer.status} {text[:300]}")
                    raise Unknown(f"{answer.status} {text[:100]}")
                if answer.status >= 400:
                    self.troubles.append(f"{path} over {node.name}: {answer.status} {text[:300]}")
                    raise NotDone(f"{answer.status} {text[:100]}")
                return json.loads(text)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NotDone(f"no connection: {error}") from None
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise Unknown(f"no answer: {type(error).__name__}: {error}") from None

    async def deliver(self, node: Node, message: bytes, recipient: str) -> None:
        """Over LMTP. A 4xx after the data is no promise that the message was not stored. Raises NotDone or Unknown."""
        try:
            async with asyncio.timeout(_CONNECT_S):
                streams = await asyncio.open_connection(node.address, LMTP_PORT)
                lmtp = MailClient(*streams, is_lmtp=True)
        except (OSError, TimeoutError, IndexError) as error:
            raise NotDone(f"no connection: {error}") from None
        try:
            async with asyncio.timeout(self._patience_s):
                await lmtp.reply()
                await lmtp.say("LHLO tests")
                [reply] = await lmtp.send(message, recipient)
        except Refused as error:
            if error.code >= 500:
                self.troubles.append(f"LMTP over {node.name}: {error}")
            raise NotDone(str(error)) from None
        except (OSError, TimeoutError, IndexError) as error:
            raise Unknown(f"no reply: {error}") from None
        finally:
            lmtp.writer.transport.abort()
        if reply.startswith("5"):
            self.troubles.append(f"LMTP over {node.name}: {reply}")
            raise NotDone(reply)
        if not reply.startswith("2"):
            raise Unknown(reply)
