"""One view of an account for the calls of a request that only read, one after another.

So a /query and the /get behind it see the same, and a store is asked for the account's state once. It is let
go before each write, which is to be seen afterwards, and before what may take long: a view is a connection
of the store's, and keeps it from tidying up.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from veredus.ports import Snapshot, Store
from veredus.wire.types import Id


class Snapshots:
    """Belongs to one request, whose calls follow one another; ``end`` comes last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._optimistic = False
        self._account: Id | None = None
        self._view: AbstractAsyncContextManager[Snapshot] | None = None
        self._snapshot: Snapshot | None = None
        self._users = 0

    @asynccontextmanager
    async def read(self, account: Id) -> AsyncIterator[Snapshot]:
        """The view of this account. It is new if another one was read meanwhile."""
        if self._users and account != self._account:
            async with self._store.read(account) as other:
                yield other
            return
        if account != self._account:
            await self.end()
        snapshot = self._snapshot or await self._begin(account)
        self._users += 1
        try:
            yield snapshot
        except BaseException:
            # What went wrong may be the view itself; the next call gets another one.
            self._account = None
            raise
        finally:
            self._users -= 1

    async def _begin(self, account: Id) -> Snapshot:
        view = self._store.read(account, optimistic=self._optimistic)
        self._snapshot = await view.__aenter__()
        self._view, self._account = view, account
        return self._snapshot

    async def prefer(self, *, optimistic: bool) -> None:
        """Whether views may be optimistic from now on, which is for calls that can be made again."""
        if self._optimistic and not optimistic:
            await self.end()
        self._optimistic = optimistic

    async def end(self) -> None:
        """Let go of the view. Who is in the midst of it keeps it; nobody else gets it any more."""
        if self._users:
            self._account = None
            return
        view, self._view, self._snapshot, self._account = self._view, None, None, None
        if view is not None:
            await view.__aexit__(None, None, None)
