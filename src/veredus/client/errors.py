"""Everything the client raises.

    Exception
     └─ JMAPError
         ├─ TransportError     no usable answer over HTTP: connection, time, status
         │   ├─ Unauthorized   the credentials were refused (401, 403)
         │   └─ ProtocolError  an answer that is not JMAP: cut, no JSON, of the wrong shape
         ├─ RequestError       the request as a whole was refused (RFC 8620 §3.6.1)
         ├─ MethodError        one method call failed (§3.6.2)
         ├─ SetErrors          records of a /set or /copy failed (§5.3); in ``client.results``
         ├─ LimitError         more than the server's limits allow, and nothing that may be cut in pieces
         ├─ NotSupported       the server, or the account, has no such capability
         ├─ NotFetchedError    a property was read that was not asked for
         ├─ NotSentError       a result was read before its batch was sent
         ├─ CannotList         more records than one /get gives, and no /query; in ``client.watch``
         └─ NotFound           no such Mailbox or Email; in ``client.mail``

A message names the host, and where it applies the method, the account and the call; never a secret, nor
anything of a message's content.
"""

from veredus.wire.types import JsonObject

PROBLEM = "urn:ietf:params:jmap:error:"


class JMAPError(Exception):
    """Whatever goes wrong between a client and its server."""


class TransportError(JMAPError):
    """No usable answer. ``sent``: the request may have reached the server, and been carried out.

    ``status``: of HTTP, when there was an answer. ``retry_after_s``: how long the server asks to wait.
    """

    def __init__(
        self,
        host: str,
        what: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(f"{host}: {what}")
        self.host, self.status, self.retry_after_s, self.sent = host, status, retry_after_s, sent


class Unauthorized(TransportError):
    """The server refuses these credentials (401) or does not let them do this (403)."""


class ProtocolError(TransportError):
    """The answer is not what RFC 8620 says it must be."""


class RequestError(JMAPError):
    """A problem details object (§3.6.1): ``type`` without its usual prefix, ``limit`` for a limit."""

    def __init__(self, host: str, problem: JsonObject) -> None:
        self.host, self.problem = host, problem
        self.type = str(problem.get("type", "about:blank")).removeprefix(PROBLEM)
        self.detail = str(problem.get("detail") or problem.get("title") or "")
        self.limit = problem.get("limit")
        about = f"{self.type} ({self.limit})" if self.limit else self.type
        super().__init__(
            f"{host}: the request was refused: {about}{': ' + self.detail if self.detail else ''}"
        )


class MethodError(JMAPError):
    """An ``error`` response (§3.6.2): ``type`` and ``description`` as the server gave them."""

    def __init__(
        self, host: str, error: JsonObject, *, method: str, account: str | None, call_id: str
    ) -> None:
        self.host, self.error, self.method, self.account, self.call_id = host, error, method, account, call_id
        self.type = str(error.get("type", "serverFail"))
        self.description = error.get("description")
        where = f" of account {account}" if account else ""
        about = self.description or ", ".join(map(str, error.get("arguments") or ()))
        said = f": {about}" if about else ""
        super().__init__(f"{host}: {method}{where} (call {call_id}) failed with {self.type}{said}")


class LimitError(JMAPError):
    """``limit``: the property of the core capability (§2) that would be exceeded, and its value."""

    def __init__(self, host: str, limit: str, allowed: int, wanted: int) -> None:
        super().__init__(f"{host} allows {limit} = {allowed}, this needs {wanted}")
        self.host, self.limit, self.allowed, self.wanted = host, limit, allowed, wanted


class NotSupported(JMAPError):
    """``capability``: the URI that the session does not have."""

    def __init__(self, host: str, capability: str, account: str | None = None) -> None:
        where = f"account {account} at {host}" if account else host
        super().__init__(f"{where} has no capability {capability}")
        self.host, self.capability, self.account = host, capability, account


class NotFetchedError(JMAPError):
    """Reading None for what was never asked for would be a lie."""

    def __init__(self, type: str, property: str) -> None:
        super().__init__(f"{property!r} of this {type} was not fetched: name it in properties")
        self.type, self.property = type, property


class NotSentError(JMAPError):
    """The batch that this call belongs to has not been sent."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method}: its result is there when the batch has been left")
        self.method = method
