"""The mail catcher of `veredus dev`: takes mail for everybody and keeps it here; nothing leaves the machine.

Some recipients make trouble on request, for those who write a mail client or transfer agent:
``anyone+tempfail@…`` is answered with 451, ``+reject`` with 550, ``+452`` with that code, and mail for
``+delay5s`` takes five seconds.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

from veredus.ports import Directory
from veredus.reception import Delivery, Envelope, Reply

_CODE = re.compile(r"[45][0-5][0-9]\Z")
_DELAY = re.compile(r"delay([0-9]{1,3})s\Z")


class MailCatcher:
    """Delivery (reception) before the one into inboxes."""

    def __init__(self, inbound: Delivery, directory: Directory, fallback: str) -> None:
        """``fallback``: the address that gets the mail for nobody."""
        self._inbound, self._directory, self._fallback = inbound, directory, fallback

    async def recipient(self, address: str) -> Reply | None:
        tag = _tag(address)
        if tag == "tempfail":
            return Reply(451, "4.3.0", "Temporary failure, as you wished")
        if tag == "reject":
            return Reply(550, "5.7.1", "Rejected, as you wished")
        if _CODE.match(tag):
            return Reply(int(tag), f"{tag[0]}.0.0", "As you wished")
        return None

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        delays = [int(found[1]) for address in envelope.recipients if (found := _DELAY.match(_tag(address)))]
        await asyncio.sleep(max(delays, default=0))
        here = tuple([await self._local(address) for address in envelope.recipients])
        return await self._inbound.deliver(replace(envelope, recipients=here), message)

    async def _local(self, address: str) -> str:
        """The address itself, the local user of that name, or the one who gets the rest."""
        name = f"{address.rpartition('@')[0] or address}@{self._fallback.rpartition('@')[2]}"
        for candidate in (address, name):
            if await self._directory.resolve(candidate):
                return candidate
        return self._fallback


def _tag(address: str) -> str:
    """What stands behind the last + of the local part; empty: nothing does."""
    return (address.rpartition("@")[0] or address).partition("+")[2].rpartition("+")[2].lower()


_: type[Delivery] = MailCatcher
