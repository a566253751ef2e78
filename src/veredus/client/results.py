"""What the standard methods answer (RFC 8620 §5)."""

import builtins
from collections.abc import Mapping
from typing import Generic, TypeVar

from msgspec import Struct, field

from veredus.client.errors import JMAPError
from veredus.client.record import Record
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)
_SHOWN = 5


class Got(Struct, Generic[R]):
    """Foo/get (§5.1). Of several requests ``state`` is the first one's: later changes come after it."""

    list: builtins.list[R]
    not_found: builtins.list[Id]
    state: str


class Changes(Struct, rename="camel"):
    """Foo/changes (§5.2): one page of it. ``updated_properties``: of Mailbox (RFC 8621 §2.2), else None."""

    old_state: str
    new_state: str
    has_more_changes: bool = False
    created: list[Id] = field(default_factory=list)
    updated: list[Id] = field(default_factory=list)
    destroyed: list[Id] = field(default_factory=list)
    updated_properties: list[str] | None = None


class Queried(Struct, rename="camel"):
    """Foo/query (§5.5)."""

    query_state: str
    can_calculate_changes: bool = False
    position: int = 0
    ids: list[Id] = field(default_factory=list)
    total: int | None = None
    limit: int | None = None


class QueryChanges(Struct, rename="camel"):
    """Foo/queryChanges (§5.6): take out ``removed``, then put in ``added``, in this order."""

    old_query_state: str
    new_query_state: str
    removed: list[Id] = field(default_factory=list)
    added: list["AddedItem"] = field(default_factory=list)
    total: int | None = None


class AddedItem(Struct):
    """An id, and where it is in the list now."""

    id: Id
    index: int


class SetResult(Struct, rename="camel"):
    """Foo/set (§5.3), Foo/copy and Foo/import; values are what the server set beyond what was asked."""

    old_state: str | None = None
    new_state: str | None = None
    created: dict[Id, JsonObject] = field(default_factory=dict)
    updated: dict[Id, JsonObject | None] = field(default_factory=dict)
    destroyed: list[Id] = field(default_factory=list)
    not_created: dict[Id, JsonObject] = field(default_factory=dict)
    not_updated: dict[Id, JsonObject] = field(default_factory=dict)
    not_destroyed: dict[Id, JsonObject] = field(default_factory=dict)

    @property
    def errors(self) -> dict[Id, JsonObject]:
        """SetError objects by id or creation id."""
        return {**self.not_created, **self.not_updated, **self.not_destroyed}


class SetErrors(JMAPError):
    """Some records failed. ``errors``: SetErrors by id or creation id; ``result``: all of the answer."""

    def __init__(self, host: str, method: str, account: str, result: SetResult) -> None:
        self.host, self.method, self.account, self.result = host, method, account, result
        self.errors: Mapping[str, JsonObject] = result.errors
        shown = [f"{id}: {_said(error)}" for id, error in list(self.errors.items())[:_SHOWN]]
        more = f" and {len(self.errors) - _SHOWN} more" if len(self.errors) > _SHOWN else ""
        super().__init__(f"{host}: {method} of account {account}: {'; '.join(shown)}{more}")


def _said(error: JsonObject) -> str:
    parts = [str(error.get("type"))]
    if error.get("properties"):
        parts.append(f"({', '.join(map(str, error['properties']))})")
    if error.get("description"):
        parts.append(str(error["description"]))
    return " ".join(parts)


class Uploaded(Struct, rename="camel"):
    """What an upload answers (§6.1). ``size`` in octets."""

    account_id: Id
    blob_id: Id
    type: str
    size: int
