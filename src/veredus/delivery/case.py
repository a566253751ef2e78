"""One message for one account, as the rules of the account see it."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from veredus.delivery.answer import Own
from veredus.delivery.plan import Arrival
from veredus.formats.mime.header import Header
from veredus.formats.mime.message import Message
from veredus.wire.types import Id


class Case(Struct):
    """``recipient``: the address in RCPT TO that led here. ``new_keys``: see Plan."""

    account: Id
    arrival: Arrival
    recipient: str
    own: Own
    # The first address of the account in the header; None: it names none, as in a list or in Bcc.
    named: str | None
    message: Message
    now: datetime
    new_keys: frozenset[str] = frozenset()

    @property
    def sender(self) -> str:
        return self.arrival.envelope.sender

    @property
    def headers(self) -> Sequence[Header]:
        return self.message.headers

    @property
    def own_address(self) -> str:
        """From which the account answers."""
        return self.named or self.recipient
