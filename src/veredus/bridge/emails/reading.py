"""What the types of an account are read with, into whichever stream."""

from msgspec import Struct

from veredus.bridge.attempts import Attempts
from veredus.bridge.emails.select import Selection
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import AccountStatus, TrackStatus
from veredus.bridge.streams import Streams


class Reading(Struct, frozen=True):
    """What all types of an account are read with, for as long as a link and a lease last."""

    settings: BridgeSettings
    source: AccountSource
    streams: Streams
    status: AccountStatus
    selection: Selection
    transport: str

    def attempts(self, status: TrackStatus) -> Attempts:
        """As many as the settings say; those that are made again are counted."""
        most = self.settings.dlq.max_attempts
        return Attempts(most, self.source.answers, lambda: status.counts.update(retried=1))
