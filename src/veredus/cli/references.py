"""Which blobs the records of an account refer to: what `db check` and `blob verify` look for."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from veredus.cli.sound import Sound
from veredus.wire.types import BlobId, Id

if TYPE_CHECKING:
    from veredus.app import App

_PAGE = 500


async def references(app: "App", account: Id) -> AsyncIterator[tuple[str, Id, BlobId | None]]:
    """Type, id and blob of every reference of a record to one; None: the record cannot be read.

    A page of records is seen at one moment, and nothing is open between two pages.
    """
    for table in app.registry.tables():
        for name in table.blobs:
            async with app.store.read(account) as snapshot:
                ids = await snapshot.select(table.name)
            for start in range(0, len(ids), _PAGE):
                async with app.store.read(account) as snapshot:
                    sound = Sound(snapshot)
                    records = await sound.get(table.name, ids[start : start + _PAGE], {name})
                for type, id in sound.damaged:
                    yield type, id, None
                for record in records:
                    found = record.get(name) or []
                    for blob in [found] if isinstance(found, str) else found:
                        yield table.name, record["id"], blob
