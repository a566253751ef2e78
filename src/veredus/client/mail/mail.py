"""The mail of an account: find, read, file, import and write (RFC 8621)."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

from veredus.client import blobs
from veredus.client.batch import Batch, Sort
from veredus.client.blobs import Data, Download
from veredus.client.calls import result as as_result
from veredus.client.chunks import get_in_chunks
from veredus.client.exchange import Exchange
from veredus.client.mail import files
from veredus.client.mail.compose import Addresses, Draft, as_addresses, as_message
from veredus.client.mail.emails import Emails, NotFound, checked, id_of, ids_of, pointer, set_emails
from veredus.client.mail.search import NEWEST_FIRST, Search
from veredus.client.mail_types import Email, EmailBodyPart, Mailbox, Thread
from veredus.client.query import PAGE
from veredus.client.results import SetResult, Uploaded
from veredus.client.search import Mailboxes, parse
from veredus.wire.dates import utc_date
from veredus.wire.types import Id, JsonObject

RFC822 = "message/rfc822"


class Mail:
    """Of one account. Emails are given as ids, fetched Emails, one or many, or as a search; Mailboxes as
    such, or by role, path, name or id, which takes a request more.

    What changes Emails takes as many requests as the server's limits ask for, and raises SetErrors when some
    of them failed; ``SetErrors.result`` says which succeeded.
    """

    def __init__(self, exchange: Exchange, account: Id | None = None) -> None:
        self._exchange = exchange
        self.account = account or exchange.account_for("Email")

    def of(self, account: Id) -> "Mail":
        """The mail of another account of the session."""
        return Mail(self._exchange, account)

    # ---------------------------------------------------------------- find

    async def mailboxes(self) -> list[Mailbox]:
        """All Mailboxes, in the order in which to show them (§2: sortOrder, then name)."""
        found = (await get_in_chunks(self._exchange, Mailbox, None, None, self.account, {})).list
        return sorted(found, key=lambda mailbox: (mailbox.sort_order, mailbox.name))

    async def mailbox(self, which: str) -> Mailbox:
        """By role; else by path ("Work/Invoices"), a name that only one has, or id. Raises UnknownMailbox."""
        mailboxes = await self.mailboxes()
        id = Mailboxes(mailboxes).find(which)
        return next(mailbox for mailbox in mailboxes if mailbox.id == id)

    def search(
        self,
        text: str = "",
        *,
        properties: Sequence[str] | None = None,
        sort: Sort | None = None,
        limit: int | None = None,
        page: int = PAGE,
        collapse_threads: bool = False,
        zone: tzinfo | None = None,
    ) -> Search:
        """The Emails that ``text`` finds, newest first; with no text, all. Raises SearchError.

        ``limit``: how many in all. ``zone``: where days begin and end; this machine's by default.
        """
        return Search(
            self._exchange,
            self.account,
            parse(text),
            self._known,
            zone,
            sort=NEWEST_FIRST if sort is None else sort,
            properties=properties,
            limit=limit,
            page=page,
            collapse_threads=collapse_threads,
        )

    # ---------------------------------------------------------------- read

    async def get(
        self, email: Id | Email, properties: Sequence[str] | None = None, *, text: bool = False
    ) -> Email:
        """One Email; ``text``: with what ``Email.text()`` needs. Raises NotFound."""
        wanted = None if properties is None else list(properties)
        if text and wanted is not None:
            wanted += ["textBody", "bodyValues"]
        extra = {"fetchTextBodyValues": True} if text else {}
        id = id_of(email)
        got = await get_in_chunks(self._exchange, Email, [id], wanted, self.account, extra)
        if not got.list:
            raise NotFound(self._exchange.session.host, "Email", id)
        return got.list[0]

    async def thread(self, email: Id | Email, properties: Sequence[str] | None = None) -> list[Email]:
        """All Emails of the Thread that ``email`` is in, oldest first (§3). Raises NotFound."""
        id = id_of(email)
        wanted = None if properties is None else ["id", *properties]
        async with Batch(self._exchange, self.account) as batch:
            one = batch.get(Email, [id], ["threadId"])
            threads = batch.get(Thread, one.each_ref("threadId"))
            emails = batch.get(Email, threads.each_ref("emailIds"), wanted)
        if not one.list:
            raise NotFound(self._exchange.session.host, "Email", id)
        by_id = {email.id: email for email in emails.list}
        return [by_id[id] for thread in threads.list for id in thread.email_ids if id in by_id]

    @asynccontextmanager
    async def raw(self, email: Id | Email) -> AsyncIterator[Download]:
        """The message itself (RFC 5322) as a stream: ``async with mail.raw(id) as message``."""
        blob_id = (await self._having(email, "blobId")).blob_id
        async with self._download(blob_id, "message.eml", RFC822) as download:
            yield download

    async def attachments(self, email: Id | Email) -> list[EmailBodyPart]:
        """The parts that are attachments (§4.1.4), to be given to ``save``. Raises NotFound."""
        return (await self._having(email, "attachments")).attachments

    async def save(self, what: Id | Email | EmailBodyPart, to: Path | str) -> Path:
        """A part, or a whole message, as a file; its path.

        ``to``: a directory, in which the sender's name for the part is made safe and, if it is taken,
        numbered; or the file, which must not be there: FileExistsError.
        """
        if isinstance(what, EmailBodyPart):
            if what.blob_id is None:
                raise ValueError("a multipart has no octets of its own: save its parts")
            blob, name = self._download(what.blob_id, what.name or "unnamed", what.type), what.name
        else:
            blob, name = self.raw(what), f"{id_of(what)}.eml"
        return await files.save(blob, Path(to), name)

    # ---------------------------------------------------------------- file

    async def set_keywords(
        self, emails: Emails, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> SetResult:
        """Add and remove keywords (§4.1.1), and leave others as they are."""
        patch: JsonObject = {pointer("keywords", keyword): True for keyword in add}
        patch |= {pointer("keywords", keyword): None for keyword in remove}
        return await self._update(emails, patch)

    async def flag(self, emails: Emails) -> SetResult:
        return await self.set_keywords(emails, add=["$flagged"])

    async def unflag(self, emails: Emails) -> SetResult:
        return await self.set_keywords(emails, remove=["$flagged"])

    async def mark_read(self, emails: Emails) -> SetResult:
        return await self.set_keywords(emails, add=["$seen"])

    async def mark_unread(self, emails: Emails) -> SetResult:
        return await self.set_keywords(emails, remove=["$seen"])

    async def move(self, emails: Emails, to: Mailbox | str) -> SetResult:
        """Into ``to``, and out of all other Mailboxes."""
        return await self._update(emails, {"mailboxIds": {await self._id(to): True}})

    async def add_to(self, emails: Emails, mailbox: Mailbox | str) -> SetResult:
        """Into one Mailbox more: an Email may be in several at once (§4)."""
        return await self._update(emails, {pointer("mailboxIds", await self._id(mailbox)): True})

    async def remove_from(self, emails: Emails, mailbox: Mailbox | str) -> SetResult:
        """Out of one Mailbox. A server refuses to leave an Email in none."""
        return await self._update(emails, {pointer("mailboxIds", await self._id(mailbox)): None})

    async def copy(self, emails: Emails, to: Mailbox | str, account: Id) -> SetResult:
        """Email/copy (§4.7): into a Mailbox of another account, with the same keywords.

        ``created`` of the result: by the id of what was copied. Within one account there is ``add_to``.
        """
        mailbox = await self.of(account)._id(to)
        ids = await ids_of(emails)
        size = max(1, self._exchange.session.limits.max_objects_in_set)
        whole = SetResult()
        for at in range(0, len(ids), size):
            create = {id: {"id": id, "mailboxIds": {mailbox: True}} for id in ids[at : at + size]}
            part = await self._create(
                "Email/copy", account, {"fromAccountId": self.account, "create": create}
            )
            whole.created |= part.created
            whole.not_created |= part.not_created
        return checked(self._exchange, "Email/copy", account, whole)

    async def trash(self, emails: Emails) -> SetResult:
        """Into the Mailbox with the role trash."""
        return await self.move(emails, "trash")

    async def destroy(self, emails: Emails) -> SetResult:
        """For good."""
        return await set_emails(self._exchange, self.account, destroy=await ids_of(emails))

    # ---------------------------------------------------------------- write

    async def import_message(
        self,
        message: Data,
        mailbox: Mailbox | str = "inbox",
        keywords: Iterable[str] = (),
        received_at: datetime | None = None,
    ) -> Email:
        """Store a message (Email/import, §4.8): octets, a file or an iterator; what the server made of it.

        Raises SetErrors: ``alreadyExists`` where a server keeps no two that are alike.
        """
        uploaded = await self._upload(message)
        wanted: JsonObject = {
            "blobId": uploaded.blob_id,
            "mailboxIds": {await self._id(mailbox): True},
            "keywords": dict.fromkeys(keywords, True),
        }
        if received_at is not None:
            wanted["receivedAt"] = utc_date(received_at)
        result = await self._create("Email/import", self.account, {"emails": {"message": wanted}})
        checked(self._exchange, "Email/import", self.account, result)
        return Email({**wanted, **result.created["message"]})

    def compose(
        self,
        *,
        to: Addresses = (),
        subject: str = "",
        text: str | None = None,
        html: str | None = None,
        from_: Addresses | None = None,
        cc: Addresses = (),
        bcc: Addresses = (),
        in_reply_to: Email | None = None,
    ) -> Draft:
        """A message to be saved or sent. ``in_reply_to``: an Email with ``messageId`` and ``references``.

        Raises ValueError for what is no address.
        """
        fields = {"to": to, "cc": cc, "bcc": bcc, "from": from_ or ()}
        properties: JsonObject = {"subject": subject, **as_message(text, html)}
        properties |= {name: value for name, given in fields.items() if (value := as_addresses(given))}
        if in_reply_to is not None and in_reply_to.message_id:
            properties["inReplyTo"] = in_reply_to.message_id
            properties["references"] = [*(in_reply_to.references or []), *in_reply_to.message_id]
        return Draft(self._exchange, self.account, properties)

    # ---------------------------------------------------------------- how

    async def _known(self) -> Mailboxes:
        return Mailboxes(await self.mailboxes())

    async def _id(self, mailbox: Mailbox | str) -> Id:
        return (await self._known()).find(mailbox) if isinstance(mailbox, str) else mailbox.id

    async def _having(self, email: Id | Email, property: str) -> Email:
        if isinstance(email, Email) and property in email:
            return email
        return await self.get(email, [property])

    def _download(self, blob_id: Id, name: str, type: str) -> AbstractAsyncContextManager[Download]:
        exchange = self._exchange
        return blobs.download(
            exchange.connection, exchange.session, self.account, blob_id, name=name, type=type
        )

    async def _upload(self, data: Data) -> Uploaded:
        exchange = self._exchange
        return await blobs.upload(exchange.connection, exchange.session, self.account, data, RFC822)

    async def _update(self, emails: Emails, patch: JsonObject) -> SetResult:
        if not patch:
            return SetResult()
        return await set_emails(
            self._exchange, self.account, update=dict.fromkeys(await ids_of(emails), patch)
        )

    async def _create(self, method: str, account: Id, arguments: dict[str, Any]) -> SetResult:
        """Email/import and Email/copy, which answer as a /set does."""
        async with Batch(self._exchange, account) as batch:
            call = batch.call(method, arguments)
        return as_result(SetResult, call.result, self._exchange.session.host, method)
