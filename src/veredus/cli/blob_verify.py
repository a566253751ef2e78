"""`veredus blob verify`: blobs against their digests, and records against blobs."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from msgspec import Struct, field

from veredus.app import is_intact
from veredus.cli.references import references
from veredus.ports import Unavailable
from veredus.wire.types import BlobId

if TYPE_CHECKING:
    from veredus.app import App

# Blobs that are read at once.
_AT_ONCE = 8


class Verified(Struct):
    """What was found. ``blobs``: those that are there; ``read``: those that were compared."""

    blobs: int = 0
    read: int = 0
    problems: list[str] = field(default_factory=list)


async def verified(app: "App", sample: int | None, tell: Callable[[str], None]) -> Verified:
    """``sample``: read only so many. ``tell`` gets each problem as it is found."""
    done = Verified()
    # Hashes of the ids: a third of the memory, and whoever is missed is asked for by name.
    present: set[int] = set()
    async for page in _pages(_listed(app, done, present), sample):
        for problem in await asyncio.gather(*(_damage(app, id) for id in page)):
            if problem is not None:
                done.problems.append(problem)
                tell(problem)
        done.read += len(page)
    for account in await app.store.accounts():
        async for type, id, blob in references(app, account):
            problem = None
            if blob is None:
                problem = "the record cannot be read, so nobody knows its blobs"
            # Not listed: perhaps it came only then, or is brought back.
            elif hash(blob) not in present and await app.blobs.size(blob) is None:
                problem = f"blob {blob} is missing"
            if problem is not None:
                done.problems.append(f"account {account}: {type} {id}: {problem}")
                tell(done.problems[-1])
    return done


async def _listed(app: "App", done: Verified, present: set[int]) -> AsyncIterator[BlobId]:
    async for id, _ in app.blobs.ids():
        done.blobs += 1
        present.add(hash(id))
        yield id


async def _pages(ids: AsyncIterator[BlobId], sample: int | None) -> AsyncIterator[list[BlobId]]:
    """All of ``ids``, or ``sample`` of them, each as likely as the others."""
    page: list[BlobId] = []
    if sample is None:
        async for id in ids:
            page.append(id)
            if len(page) == _AT_ONCE:
                yield page
                page = []
    else:
        chosen = await _chosen(ids, sample)
        for start in range(0, len(chosen), _AT_ONCE):
            yield chosen[start : start + _AT_ONCE]
    if page:
        yield page


async def _chosen(ids: AsyncIterator[BlobId], count: int) -> list[BlobId]:
    chosen: list[BlobId] = []
    seen = 0
    async for id in ids:
        seen += 1
        if len(chosen) < count:
            chosen.append(id)
        elif (place := random.randrange(seen)) < count:  # noqa: S311 - no secret is made of it
            chosen[place] = id
    return chosen


async def _damage(app: "App", id: BlobId) -> str | None:
    try:
        return (
            None if await is_intact(app.blobs, id) else f"blob {id} is damaged: its bytes have another digest"
        )
    except KeyError:  # deleted meanwhile
        return None
    except Unavailable as error:
        await app.blobs.size(id)  # the whole store, or this blob alone?
        return f"blob {id} cannot be read: {error}"
