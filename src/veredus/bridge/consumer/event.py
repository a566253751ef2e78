"""One change of one record, from JMAP_EVENTS."""

from datetime import datetime
from typing import Any

from msgspec import Struct

from veredus.bridge.consumer.errors import NotOurs
from veredus.bridge.consumer.held import Held
from veredus.bridge.consumer.objects import Objects
from veredus.bridge.consumer.received import Received, decoded, moment, text


class SetChange(Struct, frozen=True):
    """What went into and out of a set, such as keywords."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Event(Received):
    """``veredus bridge schema`` shows the payload of each kind."""

    def __init__(self, held: Held, objects: Objects) -> None:
        """Raises NotOurs."""
        super().__init__(held, objects, decoded(held, held.payload))
        if not (self.schema and self.op and self.account):
            raise NotOurs(f"{held.where} has no schema, op and account, so no bridge wrote it")

    @property
    def schema(self) -> str:
        """Such as ``email.updated/1``."""
        return text(self.json.get("schema"))

    @property
    def op(self) -> str:
        """``created``, ``updated``, ``destroyed``, ``snapshot`` or ``resync``."""
        return text(self.json.get("op"))

    @property
    def account(self) -> str:
        return text(self.json.get("account"))

    @property
    def type(self) -> str:
        """The data type: ``Email``, ``Mailbox``."""
        return text(self.json.get("type"))

    @property
    def id(self) -> str:
        """Of the record; empty for ``resync``, which is about all of them."""
        return text(self.json.get("id"))

    @property
    def old_state(self) -> str:
        return text(self.json.get("oldState"))

    @property
    def new_state(self) -> str:
        return text(self.json.get("newState"))

    @property
    def at(self) -> datetime | None:
        """When the bridge saw it."""
        return moment(self.json.get("at"))

    @property
    def changed(self) -> frozenset[str] | None:
        """Names of the properties that changed; None: nobody knows."""
        value = self.json.get("changed")
        return frozenset(filter(None, map(text, value))) if isinstance(value, list) else None

    def change_of(self, property: str) -> SetChange:
        """What went into and out of ``keywords`` or ``mailboxIds``; empty: nothing, or nobody knows."""
        found = (self.json.get("diff") or {}).get(property) or {}
        return SetChange(tuple(found.get("added") or ()), tuple(found.get("removed") or ()))

    @property
    def after(self) -> dict[str, Any] | None:
        """The record; None: it is gone, or was too large and its object has expired (``incomplete``)."""
        return self.json.get("after")

    @property
    def before(self) -> dict[str, Any] | None:
        """What was known of it before, often a few properties only."""
        return self.json.get("before")
