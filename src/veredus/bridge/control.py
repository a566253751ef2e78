"""What operators want of an account, in KV: it outlives every process, and needs none to be written.

``ctl.<account>.pause`` stands for as long as nobody shall read the account. ``ctl.<account>.look`` is
written anew when something else in KV has changed that a reader must look at: a cursor, a snapshot.
"""

from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec

from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.wire.times import utc
from veredus.wire.types import Id

_PREFIX, _PAUSE, _LOOK = "ctl", "pause", "look"


async def pause(kv: KeyValue, account: Id) -> bool:
    """Let nobody read the account until ``resume``; False: it was so already."""
    if await kv.get(_key(account, _PAUSE)) is not None:
        return False
    await kv.put(_key(account, _PAUSE), _now())
    return True


async def resume(kv: KeyValue, account: Id) -> bool:
    """False: it was not paused."""
    if await kv.get(_key(account, _PAUSE)) is None:
        return False
    await kv.delete(_key(account, _PAUSE))
    return True


async def poke(kv: KeyValue, account: Id) -> None:
    """Let whoever reads the account look at its cursor and its snapshot again."""
    await kv.put(_key(account, _LOOK), _now())


async def paused(kv: KeyValue) -> dict[Id, str]:
    """The accounts that are paused, and since when."""
    found: dict[Id, str] = {}
    async with aclosing(kv.entries(_PREFIX)) as entries:
        async for entry in entries:
            account, what = _parsed(entry.key)
            if what == _PAUSE:
                found[account] = (entry.value or b"").decode("utf-8", "replace").strip('"')
    return found


async def watch(
    kv: KeyValue, on_pause: Callable[[Id, bool], None], on_look: Callable[[Id | None], None]
) -> None:
    """Tell what operators want, as it is and as it changes; a look at all (None) first, since what was
    written before is not known. Raises NatsError."""
    is_current = False
    async with aclosing(kv.watch(_PREFIX)) as entries:
        async for entry in entries:
            if entry is None:
                is_current = True
                on_look(None)
                continue
            account, what = _parsed(entry.key)
            if what == _PAUSE:
                on_pause(account, entry.value is not None)
            elif is_current and what == _LOOK:
                on_look(account)


def _key(account: Id, what: str) -> str:
    return f"{_PREFIX}.{account}.{what}"


def _parsed(key: str) -> tuple[Id, str]:
    account, _, what = key.removeprefix(f"{_PREFIX}.").rpartition(".")
    return account, what


def _now() -> bytes:
    return msgspec.json.encode(utc(datetime.now(UTC)))
