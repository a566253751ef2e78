"""The three families of errors of RFC 8620, one per level of the protocol.

    Exception
     ├─ RequestError   the whole request fails: an HTTP problem (§3.6.1)
     ├─ MethodError    one method call fails: an "error" response (§3.6.2)
     └─ SetError       one record fails: an entry of notCreated, notUpdated ... (§5.3)

They are raised where the fault is found and become JSON in one place each: ``http/api.py``,
``engine/dispatch.py`` and the verb that treats records one by one.
"""

from collections.abc import Iterable
from typing import Any

from veredus.wire.types import JsonObject

_PROBLEM = "urn:ietf:params:jmap:error:"


class RequestError(Exception):
    """The request as a whole is refused (§3.6.1)."""

    def __init__(self, kind: str, detail: str, *, status: int = 400, limit: str | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.status, self.limit = kind, detail, status, limit

    def to_json(self) -> JsonObject:
        """The problem details object (RFC 7807)."""
        problem: JsonObject = {"type": self.kind, "status": self.status, "detail": self.detail}
        if self.limit is not None:
            problem["limit"] = self.limit
        return problem

    @classmethod
    def unknown_capability(cls, uri: str) -> "RequestError":
        return cls(_PROBLEM + "unknownCapability", f"The server does not know the capability {uri[:200]!r}.")

    @classmethod
    def not_json(cls, detail: str) -> "RequestError":
        return cls(_PROBLEM + "notJSON", detail)

    @classmethod
    def not_request(cls, detail: str) -> "RequestError":
        return cls(_PROBLEM + "notRequest", detail)

    @classmethod
    def over_limit(cls, limit: str, detail: str, *, status: int = 400) -> "RequestError":
        """``limit`` names the property of the core capability that was exceeded."""
        return cls(_PROBLEM + "limit", detail, status=status, limit=limit)


class _TypedError(Exception):
    """An error that is a JSON object with a ``type``."""

    def __init__(self, type: str, description: str | None = None, **members: Any) -> None:
        super().__init__(description or type)
        self.type, self.description, self.members = type, description, members

    def to_json(self) -> JsonObject:
        error: JsonObject = {"type": self.type}
        if self.description:
            error["description"] = self.description
        error.update(self.members)
        return error


class MethodError(_TypedError):
    """A method call is refused and changed nothing (§3.6.2)."""

    @classmethod
    def server_unavailable(cls) -> "MethodError":
        return cls("serverUnavailable", "An internal resource is unavailable; try again later.")

    @classmethod
    def server_fail(cls, description: str) -> "MethodError":
        return cls("serverFail", description)

    @classmethod
    def unknown_method(cls, name: str) -> "MethodError":
        return cls("unknownMethod", f"No method {name[:100]!r} under the capabilities in use.")

    @classmethod
    def invalid_arguments(cls, description: str) -> "MethodError":
        return cls("invalidArguments", description)

    @classmethod
    def invalid_result_reference(cls, description: str) -> "MethodError":
        return cls("invalidResultReference", description)

    @classmethod
    def forbidden(cls, description: str) -> "MethodError":
        return cls("forbidden", description)

    @classmethod
    def account_not_found(cls) -> "MethodError":
        return cls("accountNotFound")

    @classmethod
    def account_not_supported_by_method(cls) -> "MethodError":
        return cls("accountNotSupportedByMethod")

    @classmethod
    def account_read_only(cls) -> "MethodError":
        return cls("accountReadOnly")

    @classmethod
    def request_too_large(cls, description: str) -> "MethodError":
        return cls("requestTooLarge", description)

    @classmethod
    def state_mismatch(cls) -> "MethodError":
        return cls("stateMismatch")

    @classmethod
    def cannot_calculate_changes(cls) -> "MethodError":
        return cls("cannotCalculateChanges", "The change log does not reach back to that state.")

    @classmethod
    def too_many_changes(cls) -> "MethodError":
        return cls("tooManyChanges", "There are more changes than maxChanges.")

    @classmethod
    def anchor_not_found(cls) -> "MethodError":
        return cls("anchorNotFound")

    @classmethod
    def unsupported_sort(cls, description: str) -> "MethodError":
        return cls("unsupportedSort", description)

    @classmethod
    def unsupported_filter(cls, description: str) -> "MethodError":
        return cls("unsupportedFilter", description)

    @classmethod
    def from_account_not_found(cls) -> "MethodError":
        return cls("fromAccountNotFound")

    @classmethod
    def from_account_not_supported_by_method(cls) -> "MethodError":
        return cls("fromAccountNotSupportedByMethod")


class SetError(_TypedError):
    """One record could not be created, updated, destroyed, copied ... (§5.3 and the data types' own)."""

    @classmethod
    def forbidden(cls, description: str | None = None) -> "SetError":
        return cls("forbidden", description)

    @classmethod
    def over_quota(cls, description: str | None = None) -> "SetError":
        return cls("overQuota", description)

    @classmethod
    def too_large(cls, description: str | None = None, **members: Any) -> "SetError":
        return cls("tooLarge", description, **members)

    @classmethod
    def rate_limit(cls) -> "SetError":
        return cls("rateLimit")

    @classmethod
    def not_found(cls, description: str | None = None) -> "SetError":
        return cls("notFound", description)

    @classmethod
    def invalid_patch(cls, description: str) -> "SetError":
        return cls("invalidPatch", description)

    @classmethod
    def will_destroy(cls) -> "SetError":
        return cls("willDestroy", "The same call destroys this record.")

    @classmethod
    def invalid_properties(cls, properties: Iterable[str], description: str | None = None) -> "SetError":
        return cls("invalidProperties", description, properties=list(properties))

    @classmethod
    def singleton(cls) -> "SetError":
        return cls("singleton", "There is exactly one record of this type.")

    @classmethod
    def already_exists(cls, existing_id: str) -> "SetError":
        return cls("alreadyExists", existingId=existing_id)
