"""Written by tools/sync_client.py, from:

veredus.client.watch.events
"""

from typing import Generic, TypeAlias, TypeVar

from veredus.client.portal import Portal
from veredus.client.record import Record
from veredus.client.watch import events as _events
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)


class Created(Generic[R]):
    """A record that is new to the watcher, or may be so: after a Resync, and after a restart, not all are."""

    def __init__(self, portal: Portal, of: _events.Created[R]) -> None:
        self._portal, self._of = portal, of

    @property
    def type(self) -> str:
        return self._of.type

    @property
    def account(self) -> Id:
        return self._of.account

    @property
    def is_acked(self) -> bool:
        return self._of.is_acked

    def ack(self) -> None:
        """All work for this event is done; twice does no harm, and the order does not matter.

        The last one of a page moves the cursor past all that is acknowledged without a gap, and returns when
        that is durable. Raises CursorError; the cursor is then moved by the next one.
        """
        return self._portal.call(self._of.ack())

    @property
    def record(self) -> R:
        return self._of.record


class Updated(Generic[R]):
    """``record``: as it is now. ``changed``: the properties that did, None: not known.

    ``before``: as it was, if it was remembered.
    """

    def __init__(self, portal: Portal, of: _events.Updated[R]) -> None:
        self._portal, self._of = portal, of

    @property
    def type(self) -> str:
        return self._of.type

    @property
    def account(self) -> Id:
        return self._of.account

    @property
    def is_acked(self) -> bool:
        return self._of.is_acked

    def ack(self) -> None:
        """All work for this event is done; twice does no harm, and the order does not matter.

        The last one of a page moves the cursor past all that is acknowledged without a gap, and returns when
        that is durable. Raises CursorError; the cursor is then moved by the next one.
        """
        return self._portal.call(self._of.ack())

    @property
    def record(self) -> R:
        return self._of.record

    @property
    def changed(self) -> frozenset[str] | None:
        return self._of.changed

    @property
    def before(self) -> R | None:
        return self._of.before


class Destroyed:
    """Perhaps of a record that the watcher never heard of: one that was gone before it could be fetched."""

    def __init__(self, portal: Portal, of: _events.Destroyed) -> None:
        self._portal, self._of = portal, of

    @property
    def type(self) -> str:
        return self._of.type

    @property
    def account(self) -> Id:
        return self._of.account

    @property
    def is_acked(self) -> bool:
        return self._of.is_acked

    def ack(self) -> None:
        """All work for this event is done; twice does no harm, and the order does not matter.

        The last one of a page moves the cursor past all that is acknowledged without a gap, and returns when
        that is durable. Raises CursorError; the cursor is then moved by the next one.
        """
        return self._portal.call(self._of.ack())

    @property
    def id(self) -> Id:
        return self._of.id


class Resync:
    """The server cannot say what changed. All that is there follows as Created, then Complete.

    What is not among that has been destroyed.
    """

    def __init__(self, portal: Portal, of: _events.Resync) -> None:
        self._portal, self._of = portal, of

    @property
    def type(self) -> str:
        return self._of.type

    @property
    def account(self) -> Id:
        return self._of.account

    @property
    def is_acked(self) -> bool:
        return self._of.is_acked

    def ack(self) -> None:
        """All work for this event is done; twice does no harm, and the order does not matter.

        The last one of a page moves the cursor past all that is acknowledged without a gap, and returns when
        that is durable. Raises CursorError; the cursor is then moved by the next one.
        """
        return self._portal.call(self._of.ack())


class Complete:
    """All that was there at a Resync has been told, if need be over several starts.

    What was known before that and has not been told since, is not there any more.
    """

    def __init__(self, portal: Portal, of: _events.Complete) -> None:
        self._portal, self._of = portal, of

    @property
    def type(self) -> str:
        return self._of.type

    @property
    def account(self) -> Id:
        return self._of.account

    @property
    def is_acked(self) -> bool:
        return self._of.is_acked

    def ack(self) -> None:
        """All work for this event is done; twice does no harm, and the order does not matter.

        The last one of a page moves the cursor past all that is acknowledged without a gap, and returns when
        that is durable. Raises CursorError; the cursor is then moved by the next one.
        """
        return self._portal.call(self._of.ack())


Event: TypeAlias = Created[R] | Updated[R] | Destroyed | Resync | Complete


def shown(portal: Portal, event: _events.Event[R]) -> Event[R]:
    """An event of the async client as one of these."""
    match event:
        case _events.Created():
            return Created(portal, event)
        case _events.Updated():
            return Updated(portal, event)
        case _events.Destroyed():
            return Destroyed(portal, event)
        case _events.Resync():
            return Resync(portal, event)
        case _events.Complete():
            return Complete(portal, event)
