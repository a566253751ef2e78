"""What a watcher is told."""

from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

from veredus.client.record import Record
from veredus.client.watch.ledger import Entry
from veredus.wire.types import Id

R = TypeVar("R", bound=Record)


class Happening(Struct, eq=False, kw_only=True):
    """What all events have: the data ``type`` and the ``account`` that it happened in."""

    type: str
    account: Id
    entry: Entry
    is_acked: bool = False

    async def ack(self) -> None:
        """All work for this event is done; twice does no harm, and the order does not matter.

        The last one of a page moves the cursor past all that is acknowledged without a gap, and returns when
        that is durable. Raises CursorError; the cursor is then moved by the next one.
        """
        if not self.is_acked:
            self.is_acked = True
            await self.entry.acked()


class Created(Happening, Generic[R], eq=False):
    """A record that is new to the watcher, or may be so: after a Resync, and after a restart, not all are."""

    record: R


class Updated(Happening, Generic[R], eq=False):
    """``record``: as it is now. ``changed``: the properties that did, None: not known.

    ``before``: as it was, if it was remembered.
    """

    record: R
    changed: frozenset[str] | None = None
    before: R | None = None


class Destroyed(Happening, eq=False):
    """Perhaps of a record that the watcher never heard of: one that was gone before it could be fetched."""

    id: Id


class Resync(Happening, eq=False):
    """The server cannot say what changed. All that is there follows as Created, then Complete.

    What is not among that has been destroyed.
    """


class Complete(Happening, eq=False):
    """All that was there at a Resync has been told, if need be over several starts.

    What was known before that and has not been told since, is not there any more.
    """


Event: TypeAlias = Created[R] | Updated[R] | Destroyed | Resync | Complete
