"""One change of one record as a value, and what changed in it."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from veredus.wire.types import JsonObject

Op: TypeAlias = Literal["created", "updated", "destroyed", "snapshot", "resync"]


class Source(Struct, frozen=True, kw_only=True):
    """Where events are from. ``server``: host name; ``transport``: ``ws``, ``sse`` or ``poll``."""

    server: str
    account_id: str
    account_name: str = ""
    transport: str = ""


class Change(Struct, frozen=True, kw_only=True):
    """One change. ``at``: when the bridge saw it, aware.

    ``id`` is None for ``resync`` alone: the server could not say what changed since ``old_state``, and a
    snapshot may follow. ``after`` is None for what is gone. ``before`` is what was cached, often a few
    properties only. ``changed``: names of properties where the server tells them, as Mailbox/changes may
    (RFC 8621 §2.2).
    """

    source: Source
    type: str
    op: Op
    id: str | None
    new_state: str
    at: datetime
    old_state: str | None = None
    after: JsonObject | None = None
    before: JsonObject | None = None
    changed: tuple[str, ...] | None = None


class SetDifference(Struct, frozen=True):
    """What went into and out of a set like keywords, sorted."""

    added: list[str]
    removed: list[str]


class Difference(Struct, frozen=True):
    """The names of changed properties, sorted, and the difference of those that are sets, by name."""

    properties: list[str]
    sets: dict[str, SetDifference]


def difference(change: Change) -> Difference | None:
    """What changed, or None when nobody knows it.

    Only properties in both ``before`` and ``after`` are compared: one that was not cached is not a new one.
    """
    before, after = change.before, change.after
    if before is None or after is None:
        known = change.changed
        return None if known is None else Difference(sorted(set(known)), {})
    properties = sorted(name for name in before if name in after and before[name] != after[name])
    sets = {name: _set_difference(before[name], after[name]) for name in properties}
    return Difference(properties, {name: found for name, found in sets.items() if found is not None})


def _set_difference(before: Any, after: Any) -> SetDifference | None:
    if not (_is_set(before) and _is_set(after)):
        return None
    old, new = ({name for name, is_in in value.items() if is_in} for value in (before, after))
    return SetDifference(sorted(new - old), sorted(old - new))


def _is_set(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(item, bool) for item in value.values())


def state_hash(state: str) -> str:
    """A state as part of an id: states may be long, and hold any character."""
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:16]
