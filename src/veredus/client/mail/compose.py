"""A message that is being written, and sent (RFC 8621 §4.6, §7.5)."""

import mimetypes
from collections.abc import Iterable
from email.utils import getaddresses
from pathlib import Path
from typing import TypeAlias

from veredus.client import blobs
from veredus.client.batch import Batch
from veredus.client.blobs import Data
from veredus.client.calls import result as as_result
from veredus.client.capabilities import capability_of
from veredus.client.errors import JMAPError, NotSupported
from veredus.client.exchange import Exchange
from veredus.client.mail.emails import checked, pointer, set_emails
from veredus.client.mail_types import Email, EmailAddress, Identity, Mailbox
from veredus.client.results import SetResult, Uploaded
from veredus.client.session import MAIL
from veredus.wire.types import Id, JsonObject

# "Bob <bob@example.org>", also several with commas between them.
Addresses: TypeAlias = str | EmailAddress | Iterable[str | EmailAddress]
_OCTETS = "application/octet-stream"


class Draft:
    """A message in the making; the server knows nothing of it before ``save`` or ``send``."""

    def __init__(self, exchange: Exchange, account: Id, properties: JsonObject) -> None:
        self._exchange, self._account = exchange, account
        self._properties = properties
        self._saved: Id | None = None

    async def attach(self, data: Data, name: str | None = None, type: str | None = None) -> Uploaded:
        """Upload ``data`` and attach it. A file gives its own name, and the name gives the type."""
        if name is None and isinstance(data, Path):
            name = data.name
        type = type or mimetypes.guess_type(name or "")[0] or _OCTETS
        exchange = self._exchange
        blob = await blobs.upload(exchange.connection, exchange.session, self._account, data, type)
        part = {"blobId": blob.blob_id, "type": type, "name": name, "disposition": "attachment"}
        self._properties.setdefault("attachments", []).append(part)
        return blob

    async def save(self) -> Email:
        """The draft in the Mailbox with the role drafts; saved again, it takes the place of the one before.

        Raises SetErrors, and JMAPError when no Mailbox has that role.
        """
        drafts = (await self._roles("drafts"))[0]
        if "from" not in self._properties:
            await self._sign(None)
        create = {"draft": self._in(drafts)}
        result = await set_emails(self._exchange, self._account, create=create)
        email = Email({**create["draft"], **result.created["draft"]})
        await self._replaced_by(email.id)
        return email

    async def send(self, identity: Identity | None = None) -> Id:
        """The id of the EmailSubmission. The Email goes from drafts to sent when the server has taken it.

        ``identity``: by default the one with the address in ``from``, else the first. Raises NotSupported
        where the account may not send, SetErrors when the server refuses; the draft is saved then.
        """
        capability = capability_of("EmailSubmission") or ""
        if capability not in self._exchange.session.accounts[self._account].account_capabilities:
            raise NotSupported(self._exchange.session.host, capability, self._account)
        identity = await self._sign(identity)
        if not identity.id:
            host = self._exchange.session.host
            raise JMAPError(f"{host}: account {self._account} has no Identity to send as")
        drafts, sent = await self._roles("drafts", "sent")
        # Apart from the submission: what is sent must not look like a failure, nor be sent again.
        email = await self.save()
        moved = {
            pointer("mailboxIds", drafts): None,
            pointer("mailboxIds", sent): True,
            "keywords/$draft": None,
        }
        create = {"submission": {"emailId": email.id, "identityId": identity.id}}
        values = {"create": create, "onSuccessUpdateEmail": {"#submission": moved}}
        method = "EmailSubmission/set"
        async with Batch(self._exchange, self._account) as batch:
            # The Email/set that this implies needs its capability, too.
            call = batch.call(method, values, using=MAIL)
        result = as_result(SetResult, call.result, self._exchange.session.host, method)
        checked(self._exchange, method, self._account, result)
        self._saved = None
        return str(result.created["submission"]["id"])

    async def _replaced_by(self, id: Id) -> None:
        """An Email never changes, but for its Mailboxes and keywords (§4): the one before goes when, and
        only when, there is another."""
        before, self._saved = self._saved, id
        if before is not None:
            await set_emails(self._exchange, self._account, destroy=[before])

    def _in(self, mailbox: Id) -> JsonObject:
        keywords = {"$draft": True, "$seen": True}
        return {**self._properties, "mailboxIds": {mailbox: True}, "keywords": keywords}

    async def _sign(self, identity: Identity | None) -> Identity:
        """Fill in ``from`` where it is missing. An identity without id: the account has none."""
        session = self._exchange.session
        given = [address["email"].casefold() for address in self._properties.get("from", [])]
        capability = capability_of("Identity") or ""
        if identity is None and capability in session.accounts[self._account].account_capabilities:
            async with Batch(self._exchange, self._account) as batch:
                known = batch.get(Identity, None, ["id", "name", "email"])
            fitting = [each for each in known.list if each.email.casefold() in given]
            identity = next(iter(fitting or known.list), None)
        if identity is None:
            name = next((n for n in (session.accounts[self._account].name, session.username) if "@" in n), "")
            identity = Identity({"id": "", "name": "", "email": name})
        if not given and identity.email:
            self._properties["from"] = as_addresses(EmailAddress(identity.email, identity.name or None))
        return identity

    async def _roles(self, *roles: str) -> list[Id]:
        async with Batch(self._exchange, self._account) as batch:
            call = batch.get(Mailbox, None, ["id", "role"])
        by_role = {mailbox.role: mailbox.id for mailbox in call.list}
        missing = [role for role in roles if role not in by_role]
        if missing:
            host = self._exchange.session.host
            raise JMAPError(
                f"{host}: account {self._account} has no Mailbox with the role {' or '.join(missing)}"
            )
        return [by_role[role] for role in roles]


def as_addresses(given: Addresses) -> list[JsonObject]:
    """EmailAddress objects (§4.1.2.3). Raises ValueError for what is no address."""
    several = [given] if isinstance(given, str | EmailAddress) else list(given)
    found: list[EmailAddress] = []
    for each in several:
        if isinstance(each, EmailAddress):
            found.append(each)
            continue
        pairs = getaddresses([each])
        if not pairs or not all("@" in email for _, email in pairs):
            raise ValueError(f"{each!r} is no address")
        found += [EmailAddress(email, name or None) for name, email in pairs]
    for address in found:
        if not all(c.isprintable() for c in f"{address.name or ''}{address.email}"):
            raise ValueError("an address with control characters")
    return [{"name": address.name, "email": address.email} for address in found]


def as_message(text: str | None, html: str | None) -> JsonObject:
    """The properties of an Email that make its body (§4.6)."""
    bodies = {"text": ("textBody", "text/plain", text), "html": ("htmlBody", "text/html", html)}
    message: JsonObject = {"bodyValues": {}}
    for part_id, (property, type, value) in bodies.items():
        if value is not None:
            message["bodyValues"][part_id] = {"value": value}
            message[property] = [{"partId": part_id, "type": type}]
    return message
