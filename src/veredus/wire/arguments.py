"""The arguments of the standard methods (RFC 8620 §5). A data type extends them by inheritance."""

from typing import Any

from msgspec import Struct, field

from veredus.wire.types import Id, Int, JsonObject, UnsignedInt


class Arguments(Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Arguments of any method; unknown ones are refused (§3.6.2 invalidArguments)."""


class AccountArguments(Arguments, kw_only=True):
    """Arguments of a method that works on one account."""

    account_id: str


class GetArguments(AccountArguments, kw_only=True):
    """Foo/get (§5.1)."""

    ids: list[str] | None = None
    properties: list[str] | None = None


class ChangesArguments(AccountArguments, kw_only=True):
    """Foo/changes (§5.2)."""

    since_state: str
    max_changes: UnsignedInt | None = None


class SetArguments(AccountArguments, kw_only=True):
    """Foo/set (§5.3)."""

    if_in_state: str | None = None
    create: dict[Id, JsonObject] | None = None
    update: dict[str, JsonObject] | None = None
    destroy: list[str] | None = None

    def implied(self) -> int:
        """How many records a call that follows this one may touch: too many for it are too many here."""
        return 0


class CopyArguments(AccountArguments, kw_only=True):
    """Foo/copy (§5.4)."""

    from_account_id: str
    create: dict[Id, JsonObject]
    if_from_in_state: str | None = None
    if_in_state: str | None = None
    on_success_destroy_original: bool = False
    destroy_from_if_in_state: str | None = None


class FilteredArguments(AccountArguments, kw_only=True):
    """What Foo/query and Foo/queryChanges share."""

    filter: Any = None
    sort: list[JsonObject] | None = None


class QueryArguments(FilteredArguments, kw_only=True):
    """Foo/query (§5.5)."""

    position: Int = 0
    anchor: Id | None = None
    anchor_offset: Int = 0
    limit: UnsignedInt | None = None
    calculate_total: bool = False


class QueryChangesArguments(FilteredArguments, kw_only=True):
    """Foo/queryChanges (§5.6)."""

    since_query_state: str
    max_changes: UnsignedInt | None = None
    up_to_id: Id | None = None
    calculate_total: bool = False


class Invocation(Struct, array_like=True, forbid_unknown_fields=True):
    """One method call (§3.2): name, arguments, method call id."""

    name: str
    arguments: JsonObject
    call_id: str


class Request(Struct, rename="camel"):
    """The Request object (§3.3); members it does not know are ignored."""

    using: list[str]
    method_calls: list[Invocation]
    created_ids: dict[Id, Id] | None = None


class Response(Struct, rename="camel", omit_defaults=True):
    """The Response object (§3.4)."""

    method_responses: list[tuple[str, Any, str]]
    session_state: str
    created_ids: dict[Id, Id] | None = field(default=None)
