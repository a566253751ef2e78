"""What an account wants done with its mail: the active script and the vacation response, remembered.

Two states say whether what is remembered is still so; an account that never had either costs one look.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import structlog
from msgspec import Struct

from veredus.conditions import Eq
from veredus.formats.sieve import Limits, Script, SieveError, compile
from veredus.mail.vacation import TYPE, VacationResponse, load
from veredus.ports import BlobStore, Snapshot, Store
from veredus.wire.types import BlobId, Id

log = structlog.get_logger()

SCRIPT: Final = "SieveScript"
_MOST_ACCOUNTS: Final = 10_000
# Octets of scripts that are kept compiled; they take some ten times as much.
_COMPILED: Final = 4 * 1024 * 1024
_INLINE: Final = 16 * 1024


class Rules(Struct, frozen=True):
    """``states``: of SieveScript and VacationResponse. ``script``: the blob of the active one, if any."""

    states: tuple[int, int] = (0, 0)
    script: BlobId | None = None
    vacation: VacationResponse | None = None

    @property
    def is_empty(self) -> bool:
        return self.script is None and self.vacation is None


_NONE = Rules()


class RuleBook:
    """The rules of all accounts, the latest asked for in memory, and scripts ready to run."""

    def __init__(self, store: Store, blobs: BlobStore) -> None:
        self._store, self._blobs = store, blobs
        self._rules: OrderedDict[Id, Rules] = OrderedDict()
        # With the size of each. None: it cannot be compiled.
        self._scripts: OrderedDict[BlobId, tuple[Script | None, int]] = OrderedDict()
        self._octets = 0

    async def of(self, account: Id) -> Rules:
        async with self._store.read(account, optimistic=True) as snapshot:
            # States are of one moment in any case.
            known = await snapshot.states()
        states = (known.get(SCRIPT, 0), known.get(TYPE, 0))
        if states == (0, 0):
            return _NONE
        rules = self._rules.get(account)
        if rules is None or rules.states != states:
            rules = await self._load(account)
            self._rules[account] = rules
            if len(self._rules) > _MOST_ACCOUNTS:
                self._rules.popitem(last=False)
        self._rules.move_to_end(account)
        return rules

    async def _load(self, account: Id) -> Rules:
        async with self._store.read(account) as snapshot:
            known = await snapshot.states()
            states = (known.get(SCRIPT, 0), known.get(TYPE, 0))
            script = await _active(snapshot) if states[0] else None
            vacation = await load(snapshot) if states[1] else VacationResponse()
        return Rules(states, script, vacation if vacation.is_enabled else None)

    async def script(self, account: Id, blob: BlobId) -> Script | None:
        """None: its octets are gone, or it is not valid for this version of the server."""
        known = self._scripts.get(blob)
        if known is not None:
            self._scripts.move_to_end(blob)
            return known[0]
        data = await self._blobs.get(blob)
        if data is None:
            log.error("script lost", account=account, blob=blob)
            return None
        try:
            text = data.decode()
            # It was accepted, whatever the limit is by now.
            limits = Limits(max_size=len(data))
            if len(data) > _INLINE:
                script: Script | None = await asyncio.to_thread(compile, text, limits)
            else:
                script = compile(text, limits)
        except UnicodeDecodeError:
            log.warning("script not valid", account=account, blob=blob, reason="not UTF-8")
            script = None
        except SieveError as error:
            log.warning("script not valid", account=account, blob=blob, line=error.line)
            script = None
        self._keep(blob, script, len(data))
        return script

    def _keep(self, blob: BlobId, script: Script | None, size: int) -> None:
        if blob in self._scripts:
            return
        self._scripts[blob] = (script, size)
        self._octets += size
        while self._octets > _COMPILED and len(self._scripts) > 1:
            _, (_, gone) = self._scripts.popitem(last=False)
            self._octets -= gone

    def size_of(self, script: Script) -> int:
        """Octets of its text; 0 where that is not known any more."""
        return next((size for known, size in reversed(self._scripts.values()) if known is script), 0)

    async def named(self, account: Id, names: Iterable[str]) -> dict[str, Script | None]:
        """Scripts to be included (RFC 6609 §3.1), by name."""
        found: dict[str, Script | None] = {}
        for name in names:
            async with self._store.read(account) as snapshot:
                ids = await snapshot.select(SCRIPT, Eq("name", name), limit=1)
                records = await snapshot.get(SCRIPT, ids, {"blobId"})
            found[name] = await self.script(account, records[0]["blobId"]) if records else None
        return found


async def _active(snapshot: Snapshot) -> BlobId | None:
    ids = await snapshot.select(SCRIPT, Eq("isActive", True), limit=1)
    records = await snapshot.get(SCRIPT, ids, {"blobId"})
    return records[0]["blobId"] if records else None
