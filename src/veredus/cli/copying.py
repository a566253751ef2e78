"""Copying all accounts of one store into another, and comparing the two (ADR 0023)."""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING

from veredus.cli.common import Failure
from veredus.ports.moving import Dumps, Head, Moving, Piece, Pieces, Rows

if TYPE_CHECKING:
    from veredus.cli.transfer.progress import Progress

# The account of the server's own comes last: without it nobody can log in to a copy that is not finished.
SYSTEM = "system"
# Pieces that are read while one is stored.
_AHEAD = 2


class Digest:
    """What a dump says, by type: how many records, and a digest of all of them in their order."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self._rows: dict[str, int] = defaultdict(int)
        self._digests: dict[str, hashlib.blake2b] = defaultdict(lambda: hashlib.blake2b(digest_size=16))

    def take(self, piece: Piece) -> None:
        if isinstance(piece, Head):
            self.head = piece
        elif isinstance(piece, Rows):
            self._add(piece.type, (row.canonical() for row in piece.rows), len(piece.rows))
        else:
            self._add("the log", (repr(row).encode() for row in piece.rows), len(piece.rows))

    def _add(self, name: str, octets: Iterable[bytes], count: int) -> None:
        self._digests[name].update(b"".join(octets))
        self._rows[name] += count

    def differences(self, other: "Digest") -> list[str]:
        """In words; empty: both say the same."""
        assert self.head is not None
        assert other.head is not None
        found = []
        for name in sorted({*self._rows, *other._rows}):
            here, there = self._rows[name], other._rows[name]
            if here != there:
                found.append(f"{name}: {here} in the source, {there} in the copy")
            elif self._digests[name].digest() != other._digests[name].digest():
                found.append(f"{name}: the records differ")
        if self.head.states != other.head.states or self.head.modseq != other.head.modseq:
            found.append("the states differ")
        if self.head.counts != other.head.counts:
            found.append("there are more or fewer records")
        return found


async def digest(store: Dumps, account: str) -> Digest:
    """Reads all of the account."""
    found = Digest()
    async with aclosing(store.dump(account)) as pieces:
        async for piece in pieces:
            found.take(piece)
    return found


async def head(store: Dumps, account: str) -> Head:
    """How a dump of the account would begin."""
    async with aclosing(store.dump(account)) as pieces:
        async for piece in pieces:
            if isinstance(piece, Head):
                return piece
    raise AssertionError("a dump begins with a head")


class Copy:
    """One run; ``compare``: read all of what was copied before, too."""

    def __init__(self, source: Dumps, target: Moving, *, compare: bool = False) -> None:
        self._source, self._target, self._compare = source, target, compare
        self.accounts = 0
        self.unchanged = 0
        self.records = 0
        # Whether every record was compared, and not their number alone.
        self.is_compared = True

    async def total(self) -> int:
        """How many records there are. Raises Failure when the target holds what no copy has brought."""
        await self._check_target()
        heads = [await head(self._source, account) for account in await self._accounts()]
        return sum(sum(one.counts.values()) for one in heads)

    async def run(self, shown: "Progress") -> None:
        """Copy what is not there yet, or has changed since. Raises Failure when a copy is not right."""
        for account in await self._accounts():
            await self._account(account, shown)

    async def changed(self) -> list[str]:
        """The accounts that have changed since they were copied."""
        stamps = await self._target.loaded()
        accounts = await self._accounts()
        return [one for one in accounts if (await head(self._source, one)).stamp != stamps.get(one)]

    async def _accounts(self) -> list[str]:
        """Those that are gone since the last run, too: their copies become empty."""
        known = {*await self._source.accounts(), *await self._target.loaded()}
        return sorted(known, key=lambda account: (account == SYSTEM, account))

    async def _check_target(self) -> None:
        stamps = await self._target.loaded()
        for account in await self._target.accounts():
            if account not in stamps:
                raise Failure(
                    f"the target has data that no copy has brought (account {account}) - name an empty "
                    "database or directory"
                )
            if stamps[account] and (await head(self._target, account)).stamp != stamps[account]:
                raise Failure(
                    f"the copy of account {account} has been changed since: a server uses the target, and "
                    "what it has stored would be lost - go on with the target as it is, or name an empty "
                    "database or directory"
                )

    async def _account(self, account: str, shown: "Progress") -> None:
        first = await head(self._source, account)
        records = sum(first.counts.values())
        stamp = (await self._target.loaded()).get(account)
        if stamp and stamp != first.stamp and await self._caught_up(account, stamp, shown):
            return
        if stamp == first.stamp:
            if self._compare:
                self._must_agree(
                    account, await digest(self._source, account), await digest(self._target, account)
                )
            else:
                self.is_compared = False
            self.unchanged += 1
            shown.advance(records, self._counts())
            return
        given = _Given(self._source, account, shown, self)
        await self._target.load(account, given.dump)
        given.finish()
        said = given.digest if given.is_whole else await digest(self._source, account)
        assert said.head is not None
        if said.head.stamp == (await self._target.loaded()).get(account):
            self._must_agree(account, said, await digest(self._target, account))
        self.accounts += 1
        shown.advance(0, self._counts())

    async def _caught_up(self, account: str, stamp: str, shown: "Progress") -> bool:
        """Whether it was enough to copy what has changed since the last time."""
        delta = await self._source.changed_since(account, stamp)
        if delta is None or not await self._target.catch_up(account, stamp, delta):
            return False
        source, copied = Digest(), Digest()
        source.take(delta.head)
        copied.take(await head(self._target, account))
        if self._compare:
            copied = await digest(self._target, account)
            source = await digest(self._source, account)
        else:
            self.is_compared = False
        self._must_agree(account, source, copied)
        self.accounts += 1
        self.records += sum(len(piece.rows) for piece in delta.rows)
        shown.advance(sum(delta.head.counts.values()), self._counts())
        return True

    def _must_agree(self, account: str, source: Digest, copied: Digest) -> None:
        differences = source.differences(copied)
        if differences:
            raise Failure(
                f"account {account}: the copy is not the same ({'; '.join(differences)}) - run `veredus db "
                "check` on the source; if that finds nothing, this is a bug: please report it"
            )

    def _counts(self) -> dict[str, int]:
        return {"accounts": self.accounts, "unchanged": self.unchanged, "records": self.records}


class _Given:
    """What the target is given of one account: read ahead, counted, and its digest taken on the way."""

    def __init__(self, source: Dumps, account: str, shown: "Progress", copy: Copy) -> None:
        self._source, self._account, self._shown, self._copy = source, account, shown, copy
        self._total = self._read = 0
        self.digest = Digest()
        # Whether all of it was read from the beginning.
        self.is_whole = True

    def dump(self, place: str | None) -> Pieces:
        return self._counted(place)

    async def _counted(self, place: str | None) -> Pieces:
        self.digest, self.is_whole = Digest(), place is None
        async with aclosing(ahead(self._source.dump(self._account, place))) as pieces:
            async for piece in pieces:
                self.digest.take(piece)
                if isinstance(piece, Head):
                    self._total = sum(piece.counts.values())
                yield piece
                if isinstance(piece, Rows):
                    self._read += len(piece.rows)
                    self._copy.records += len(piece.rows)
                    self._shown.advance(len(piece.rows), self._copy._counts())

    def finish(self) -> None:
        """What an earlier run has brought counts as done, too."""
        self._shown.advance(max(0, self._total - self._read), self._copy._counts())


async def ahead(pieces: Pieces) -> Pieces:
    """The same, read while the one before is worked on."""
    queue: asyncio.Queue[Piece | Exception | None] = asyncio.Queue(_AHEAD)

    async def read() -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    await queue.put(piece)
        except Exception as error:  # whoever reads raises it
            await queue.put(error)
        else:
            await queue.put(None)

    task = asyncio.create_task(read())
    try:
        while (piece := await queue.get()) is not None:
            if isinstance(piece, Exception):
                raise piece
            yield piece
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
