"""Written by tools/sync_client.py (RFC 8621), from:

veredus.client.mail.search
veredus.client.mail.compose
veredus.client.mail.mail
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, tzinfo
from pathlib import Path

from veredus.client.batch import Sort
from veredus.client.mail import compose as _compose
from veredus.client.mail import mail as _mail
from veredus.client.mail import search as _search
from veredus.client.mail.compose import Addresses
from veredus.client.mail.emails import Emails
from veredus.client.mail_types import Email, EmailBodyPart, Identity, Mailbox
from veredus.client.portal import Data, Portal, octets, whole
from veredus.client.query import PAGE
from veredus.client.results import SetResult, Uploaded
from veredus.client.sync.blobs import Download
from veredus.wire.types import Id, JsonObject


class Search:
    """An iterable of Emails that fetches page by page; each iteration asks anew.

    Raises UnknownMailbox when it is begun, if there is no such Mailbox as ``in:`` says.
    """

    def __init__(self, portal: Portal, of: _search.Search) -> None:
        self._portal, self._of = portal, of

    def __iter__(self) -> Iterator[Email]:
        return self._portal.iterate(aiter(self._of))

    def ids(self) -> Iterator[Id]:
        """Only the ids."""
        return self._portal.iterate(self._of.ids())

    def all(self) -> list[Email]:
        """All of them, in a list."""
        return self._portal.call(self._of.all())

    def first(self) -> Email | None:
        """The first one; None: there is none."""
        return self._portal.call(self._of.first())

    def filter(self) -> JsonObject:
        """The filter of Email/query that the search becomes (RFC 8621 §4.4.1)."""
        return self._portal.call(self._of.filter())


class Draft:
    """A message in the making; the server knows nothing of it before ``save`` or ``send``."""

    def __init__(self, portal: Portal, of: _compose.Draft) -> None:
        self._portal, self._of = portal, of

    def attach(self, data: Data, name: str | None = None, type: str | None = None) -> Uploaded:
        """Upload ``data`` and attach it. A file gives its own name, and the name gives the type."""
        return self._portal.call(self._of.attach(octets(data), name, type))

    def save(self) -> Email:
        """The draft in the Mailbox with the role drafts; saved again, it takes the place of the one before.

        Raises SetErrors, and JMAPError when no Mailbox has that role.
        """
        return self._portal.call(self._of.save())

    def send(self, identity: Identity | None = None) -> Id:
        """The id of the EmailSubmission. The Email goes from drafts to sent when the server has taken it.

        ``identity``: by default the one with the address in ``from``, else the first. Raises NotSupported
        where the account may not send, SetErrors when the server refuses; the draft is saved then.
        """
        return self._portal.call(self._of.send(identity))


class Mail:
    """Of one account. Emails are given as ids, fetched Emails, one or many, or as a search; Mailboxes as
    such, or by role, path, name or id, which takes a request more.

    What changes Emails takes as many requests as the server's limits ask for, and raises SetErrors when some
    of them failed; ``SetErrors.result`` says which succeeded.
    """

    def __init__(self, portal: Portal, of: _mail.Mail) -> None:
        self._portal, self._of = portal, of

    @property
    def account(self) -> Id:
        return self._of.account

    def of(self, account: Id) -> "Mail":
        """The mail of another account of the session."""
        return Mail(self._portal, self._of.of(account))

    def mailboxes(self) -> list[Mailbox]:
        """All Mailboxes, in the order in which to show them (§2: sortOrder, then name)."""
        return self._portal.call(self._of.mailboxes())

    def mailbox(self, which: str) -> Mailbox:
        """By role; else by path ("Work/Invoices"), a name that only one has, or id. Raises UnknownMailbox."""
        return self._portal.call(self._of.mailbox(which))

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
            self._portal,
            self._of.search(
                text,
                properties=properties,
                sort=sort,
                limit=limit,
                page=page,
                collapse_threads=collapse_threads,
                zone=zone,
            ),
        )

    def get(self, email: Id | Email, properties: Sequence[str] | None = None, *, text: bool = False) -> Email:
        """One Email; ``text``: with what ``Email.text()`` needs. Raises NotFound."""
        return self._portal.call(self._of.get(email, properties, text=text))

    def thread(self, email: Id | Email, properties: Sequence[str] | None = None) -> list[Email]:
        """All Emails of the Thread that ``email`` is in, oldest first (§3). Raises NotFound."""
        return self._portal.call(self._of.thread(email, properties))

    def raw(self, email: Id | Email) -> AbstractContextManager[Download]:
        """The message itself (RFC 5322) as a stream: ``with mail.raw(id) as message``."""
        return self._portal.manage(self._of.raw(email), Download)

    def attachments(self, email: Id | Email) -> list[EmailBodyPart]:
        """The parts that are attachments (§4.1.4), to be given to ``save``. Raises NotFound."""
        return self._portal.call(self._of.attachments(email))

    def save(self, what: Id | Email | EmailBodyPart, to: Path | str) -> Path:
        """A part, or a whole message, as a file; its path.

        ``to``: a directory, in which the sender's name for the part is made safe and, if it is taken,
        numbered; or the file, which must not be there: FileExistsError.
        """
        return self._portal.call(self._of.save(what, to))

    def set_keywords(
        self, emails: Emails, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> SetResult:
        """Add and remove keywords (§4.1.1), and leave others as they are."""
        return self._portal.call(self._of.set_keywords(whole(emails), add=whole(add), remove=whole(remove)))

    def flag(self, emails: Emails) -> SetResult:
        return self._portal.call(self._of.flag(whole(emails)))

    def unflag(self, emails: Emails) -> SetResult:
        return self._portal.call(self._of.unflag(whole(emails)))

    def mark_read(self, emails: Emails) -> SetResult:
        return self._portal.call(self._of.mark_read(whole(emails)))

    def mark_unread(self, emails: Emails) -> SetResult:
        return self._portal.call(self._of.mark_unread(whole(emails)))

    def move(self, emails: Emails, to: Mailbox | str) -> SetResult:
        """Into ``to``, and out of all other Mailboxes."""
        return self._portal.call(self._of.move(whole(emails), to))

    def add_to(self, emails: Emails, mailbox: Mailbox | str) -> SetResult:
        """Into one Mailbox more: an Email may be in several at once (§4)."""
        return self._portal.call(self._of.add_to(whole(emails), mailbox))

    def remove_from(self, emails: Emails, mailbox: Mailbox | str) -> SetResult:
        """Out of one Mailbox. A server refuses to leave an Email in none."""
        return self._portal.call(self._of.remove_from(whole(emails), mailbox))

    def copy(self, emails: Emails, to: Mailbox | str, account: Id) -> SetResult:
        """Email/copy (§4.7): into a Mailbox of another account, with the same keywords.

        ``created`` of the result: by the id of what was copied. Within one account there is ``add_to``.
        """
        return self._portal.call(self._of.copy(whole(emails), to, account))

    def trash(self, emails: Emails) -> SetResult:
        """Into the Mailbox with the role trash."""
        return self._portal.call(self._of.trash(whole(emails)))

    def destroy(self, emails: Emails) -> SetResult:
        """For good."""
        return self._portal.call(self._of.destroy(whole(emails)))

    def import_message(
        self,
        message: Data,
        mailbox: Mailbox | str = "inbox",
        keywords: Iterable[str] = (),
        received_at: datetime | None = None,
    ) -> Email:
        """Store a message (Email/import, §4.8): octets, a file or an iterator; what the server made of it.

        Raises SetErrors: ``alreadyExists`` where a server keeps no two that are alike.
        """
        return self._portal.call(
            self._of.import_message(octets(message), mailbox, whole(keywords), received_at)
        )

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
        return Draft(
            self._portal,
            self._of.compose(
                to=whole(to),
                subject=subject,
                text=text,
                html=html,
                from_=whole(from_),
                cc=whole(cc),
                bcc=whole(bcc),
                in_reply_to=in_reply_to,
            ),
        )
