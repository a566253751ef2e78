"""What `db check` and `backup verify` look at: the store, the blobs, and the numbers kept beside them."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from veredus.cli.references import references
from veredus.cli.sound import Sound
from veredus.mail.audit import audit
from veredus.wire.types import BlobId, Id

if TYPE_CHECKING:
    from veredus.app import App


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
    async for type, id, blob in references(app, account):
        # Of a record that cannot be read, the store itself says so.
        if blob is None or blob in seen:
            continue
        seen.add(blob)
        if problem := await _blob(app, blob, read):
            yield f"{type} {id}: {problem}"


async def _blob(app: "App", id: BlobId, read: bool) -> str | None:
    if not read:
        return None if await app.blobs.size(id) is not None else f"blob {id} is missing"
    from veredus.app import is_intact

    try:
        is_good = await is_intact(app.blobs, id)
    except KeyError:
        return f"blob {id} is missing"
    return None if is_good else f"blob {id} is damaged: its bytes have another digest"
