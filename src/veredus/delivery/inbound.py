"""What happens to a message that comes in by LMTP or SMTP: recipient, blob, Email, reply."""

from collections.abc import Sequence

import structlog

from veredus.mail.email.admit import Admission, Prepared
from veredus.mail.provision import inbox
from veredus.ports import BlobStore, Clock, Directory, Store, Unavailable
from veredus.reception import Envelope, Reply
from veredus.schema import Changed
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.ids import new_id
from veredus.wire.types import Id

log = structlog.get_logger()

_DELIVERED = Reply(250, "2.1.5", "Delivered")
_NO_SUCH_USER = Reply(550, "5.1.1", "No such recipient here")
_FULL = Reply(552, "5.2.2", "The mailbox is full")
_UNAVAILABLE = Reply(451, "4.3.0", "Temporary failure, try again later")
_NOT_A_MESSAGE = Reply(550, "5.6.0", "This is not an Internet message")


class Inbound:
    """reception.Delivery into the inboxes of local accounts."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        directory: Directory,
        admission: Admission,
        clock: Clock,
    ) -> None:
        self._store, self._blobs, self._directory = store, blobs, directory
        self._admission, self._clock = admission, clock

    async def recipient(self, address: str) -> Reply | None:
        """At RCPT: refuse whom nobody is."""
        try:
            return None if await self._account(address) else _NO_SUCH_USER
        except Unavailable as error:
            log.warning("recipient not looked up", error=str(error))
            return _UNAVAILABLE

    async def _account(self, address: str) -> Id | None:
        return await self._directory.resolve(address)

    async def deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        """One reply per recipient; a message is stored or refused, never dropped."""
        try:
            return await self._deliver(envelope, message)
        except Unavailable as error:
            # Nothing was delivered yet: what follows the first delivery catches its own.
            log.warning("delivery postponed", error=str(error))
            return [_UNAVAILABLE] * len(envelope.recipients)

    async def _deliver(self, envelope: Envelope, message: bytes) -> Sequence[Reply]:
        blob = await self._blobs.put(message, max_size=len(message))
        try:
            prepared = await self._admission.prepare(message, blob.id, utc_date(self._clock.now()))
        except SetError:
            return [_NOT_A_MESSAGE] * len(envelope.recipients)
        accounts = [await self._account(address) for address in envelope.recipients]
        delivered: dict[Id, Reply] = {}
        replies = []
        for account in accounts:
            if account is None:
                replies.append(_NO_SUCH_USER)
                continue
            if account not in delivered:
                # Two addresses of one account: one copy.
                delivered[account] = await self._deliver_to(account, prepared)
            replies.append(delivered[account])
        return replies

    async def _deliver_to(self, account: Id, prepared: Prepared) -> Reply:
        email = {**prepared.email, "id": new_id("e"), "keywords": {}}
        try:
            async with self._store.write(account) as tx:
                email["mailboxIds"] = {await inbox(tx): True}
                await self._admission.admit(tx, email)
                await tx.put("Email", email, prepared.texts)
                await self._admission.finish(tx, [Changed(None, email)])
        except SetError as error:
            return _FULL if error.type == "overQuota" else _UNAVAILABLE
        except Unavailable as error:
            log.warning("delivery postponed", account=account, error=str(error))
            return _UNAVAILABLE
        log.info("delivered", account=account, email=email["id"], octets=email["size"])
        return _DELIVERED
