"""What is to be done with a message for one account, decided before the transaction that does it."""

from msgspec import Struct

from veredus.formats.report import Report
from veredus.formats.sieve.outcome import Duplicate, FileInto, Keep
from veredus.mail.email.admit import Prepared
from veredus.mail.outbox import Origin
from veredus.ports import Blob
from veredus.reception import Envelope, Reply


def is_lmtp(envelope: Envelope) -> bool:
    return "LMTP" in envelope.protocol


class Arrival(Struct, frozen=True):
    """A message that has arrived. ``data`` is stored as ``prepared.email["blobId"]``.

    ``is_only``: its recipients are one account or are told apart, so that a refusal reaches the sender in
    the dialogue. ``report``: what it reports, if it is a DSN or MDN.
    """

    envelope: Envelope
    data: bytes
    prepared: Prepared
    is_junk: bool
    is_only: bool
    report: Report | None = None

    @property
    def tells_apart(self) -> bool:
        """LMTP has a reply for each recipient (RFC 2033 §4.2)."""
        return is_lmtp(self.envelope)


class Copy(Struct, frozen=True):
    """An Email to be: all mailboxes in which one message is to have the same keywords."""

    filings: tuple[Keep | FileInto, ...]
    keywords: tuple[str, ...]
    prepared: Prepared


class Once(Struct, frozen=True):
    """An answer to ``sender`` that is given if nobody got one for ``handle`` in the last ``seconds``.

    ``handle`` "": the VacationResponse, which is silent to those whom a script has answered, and the other
    way round.
    """

    sender: str
    handle: str
    seconds: int


class Leaving(Struct, frozen=True):
    """A message that is to leave the account. ``instead``: what is stored if it may not leave after all."""

    origin: Origin
    sender: str
    recipients: tuple[str, ...]
    blob: Blob
    once: Once | None = None
    instead: Copy | None = None


class Plan(Struct, frozen=True):
    """``new_keys``: the script was told that these were not seen before (RFC 7352).

    ``refusal``: the reply to give once the rest is done.
    """

    copies: tuple[Copy, ...] = ()
    leaving: tuple[Leaving, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    new_keys: frozenset[str] = frozenset()
    refusal: Reply | None = None
