"""The envelope of a submission: derived from the message, or checked (RFC 8621 §7)."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from veredus.mail.identity import is_mailbox, may_use
from veredus.mail.submission import parameters
from veredus.mail.submission.message import Fields
from veredus.mail.submission.shape import Address, Envelope
from veredus.ports import Address as Outgoing
from veredus.wire.errors import SetError


class SubmissionLimits(Struct, frozen=True):
    """What may be sent. Octets, recipients, seconds (0: nothing is held); ``is_open`` False: nothing at all.

    ``separator``: of sub-addresses; "": there are none.
    """

    max_size: int
    max_recipients: int
    max_delay_s: int
    is_open: bool = True
    separator: str = "+"


class Checked(Struct, frozen=True):
    """An envelope as the outgoing queue takes it. ``release``: not before then; None: at once."""

    sender: Outgoing
    recipients: tuple[Outgoing, ...]
    release: datetime | None


def derive(fields: Fields, identity_email: str, separator: str) -> Envelope:
    """What goes with a message for which the client gave no envelope."""
    author = (fields.addresses("sender") or fields.addresses("from"))[0]
    if not may_use([identity_email], author, separator):
        author = identity_email
    return Envelope(Address(author), [Address(email) for email in fields.recipients()])


def check(envelope: Envelope, own: Sequence[str], now: datetime, limits: SubmissionLimits) -> Checked:
    """Raise the SetErrors of §7.5 that concern an envelope. ``own``: the addresses of the account."""
    sender = envelope.mail_from
    given = parameters.of_sender(sender.parameters, now, limits.max_delay_s)
    if given.size is not None and given.size > limits.max_size:
        raise SetError.too_large(maxSize=limits.max_size)
    # "*@example.com" is a Mailbox, but only ever the whole of an Identity without a mailbox of its own.
    is_address = is_mailbox(sender.email) and not sender.email.startswith("*@")
    if not is_address or not may_use(own, sender.email, limits.separator):
        raise SetError("forbiddenMailFrom", "mailFrom is not an address of the account.")
    return Checked(
        sender=Outgoing(sender.email, given.passed or None),
        recipients=_recipients(envelope.rcpt_to, limits.max_recipients),
        release=given.release,
    )


def _recipients(addresses: Sequence[Address], most: int) -> tuple[Outgoing, ...]:
    """Each once, with the parameters of its first place."""
    if not addresses:
        raise SetError("noRecipients")
    if len(addresses) > most:
        raise SetError("tooManyRecipients", maxRecipients=most)
    bad = [address.email for address in addresses if not is_mailbox(address.email)]
    if bad:
        raise SetError("invalidRecipients", invalidRecipients=list(dict.fromkeys(bad)))
    unique: dict[str, Outgoing] = {}
    for address in addresses:
        passed = parameters.of_recipient(address.parameters)
        unique.setdefault(address.email, Outgoing(address.email, passed or None))
    return tuple(unique.values())
