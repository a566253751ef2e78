"""Errors as problem details (RFC 7807, RFC 8620 §3.6.1): here alone exceptions become HTTP responses."""

from http import HTTPStatus
from typing import Any

import msgspec

from veredus.ports import Unavailable
from veredus.wire.errors import RequestError, SetError
from veredus.wire.types import JsonObject

Headers = list[tuple[bytes, bytes]]

_RETRY_AFTER_S = 5


class Problem(Exception):
    """A request that HTTP itself refuses. ``members`` are added to the problem details."""

    def __init__(
        self, status: int, detail: str | None = None, headers: Headers | None = None, **members: Any
    ) -> None:
        super().__init__(detail or HTTPStatus(status).phrase)
        self.status, self.detail, self.headers, self.members = status, detail, headers or [], members

    def to_json(self) -> JsonObject:
        """The problem details object; ``about:blank`` says no more than the status does (RFC 7807 §4.2)."""
        body: JsonObject = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            **self.members,
        }
        if self.detail is not None:
            body["detail"] = self.detail
        return body


def to_problem(error: Exception) -> Problem | RequestError | None:
    """What to answer to ``error``; None: it is a bug, and its text is nobody's business."""
    match error:
        case Problem() | RequestError():
            return error
        case Unavailable():
            retry_after = (b"retry-after", b"%d" % _RETRY_AFTER_S)
            return Problem(503, "A resource is unavailable; try again later.", [retry_after])
        case SetError(type="overQuota"):
            # RFC 8620 has no error for it; 507 is what WebDAV answers (RFC 4331 §6).
            return Problem(507, error.description or "The account is over its quota.")
        # A KeyError or a file's EACCES is a bug or a broken installation, not an answer of the engine.
        case LookupError() if not isinstance(error, KeyError | IndexError):
            return Problem(404, "There is no such account.")
        case PermissionError() if error.errno is None:
            return Problem(403, "The account is read-only.")
        case _:
            return None


def encode(problem: Problem | RequestError) -> tuple[int, Headers, bytes]:
    """Status, header fields and body of the response."""
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if isinstance(problem, Problem):
        headers += problem.headers
    elif problem.status == 429:
        headers.append((b"retry-after", b"1"))
    return problem.status, headers, msgspec.json.encode(problem.to_json())
