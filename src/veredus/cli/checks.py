"""What `db check` and `backup verify` look at: the store, the blobs, and the numbers kept beside them."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from veredus.cli.sound import Sound
from veredus.mail.audit import audit
from veredus.ports import Snapshot
from veredus.wire.types import BlobId, Id

if TYPE_CHECKING:
    from veredus.app import App

_PAGE = 500


async def problems(app: "App", *, read_blobs: bool = False) -> AsyncIterator[str]:
    """Every problem, a line each. ``read_blobs``: compare the bytes of each blob with its name, too."""
    for problem in await app.store.check():
        yield f"store: {problem}"
    known = {user["account"] for user in await app.accounts.users()}
    seen: set[BlobId] = set()
    for account in await app.store.accounts():
        if account == "system":
            continue
        async with app.store.read(account) as snapshot:
            if account not in known and await snapshot.count("Mailbox"):
                yield f"account {account}: has Mailboxes, but belongs to no user"
            sound = Sound(snapshot)
            async for problem in audit(sound):
                yield f"account {account}: {problem}"
        if sound.damaged:
            yield f"account {account}: was counted without {len(sound.damaged)} records that cannot be read"
        async for problem in _blobs(app, account, seen, read_blobs):
            yield f"account {account}: {problem}"


async def _blobs(app: "App", account: Id, seen: set[BlobId], read: bool) -> AsyncIterator[str]:
    """Whether what the account's records refer to is there; each blob is looked at once for all accounts."""
    for table in app.registry.tables():
        for name in table.blobs:
            async with app.store.read(account) as snapshot:
                ids = await snapshot.select(table.name)
            for start in range(0, len(ids), _PAGE):
                async with app.store.read(account) as snapshot:
                    pairs = await _references(snapshot, table.name, name, ids[start : start + _PAGE])
                for id, blob in pairs:
                    if blob not in seen and (problem := await _blob(app, blob, read)):
                        yield f"{table.name} {id}: {problem}"
                    seen.add(blob)


async def _references(snapshot: Snapshot, type: str, name: str, ids: list[Id]) -> list[tuple[Id, BlobId]]:
    records = await Sound(snapshot).get(type, ids, {name})
    return [(record["id"], record[name]) for record in records if record.get(name)]


async def _blob(app: "App", id: BlobId, read: bool) -> str | None:
    if not read:
        return None if await app.blobs.size(id) is not None else f"blob {id} is missing"
    from veredus.app import is_intact

    try:
        is_good = await is_intact(app.blobs, id)
    except KeyError:
        return f"blob {id} is missing"
    return None if is_good else f"blob {id} is damaged: its bytes have another digest"
