"""One type of one account, followed into JMAP_EVENTS with a cursor of its own."""

from collections.abc import Sequence

from veredus.bridge.attempts import Attempts
from veredus.bridge.cursor import event_cursor
from veredus.bridge.dead_letters import DeadLetters, Parking
from veredus.bridge.emails.reading import Reading
from veredus.bridge.emails.select import Selection
from veredus.bridge.events.before import ALONE, CACHE, Before
from veredus.bridge.events.pages import Pages
from veredus.bridge.events.track import EventTrack, Tools
from veredus.bridge.follower import Follower
from veredus.bridge.publishing import Outlet
from veredus.bridge.records import Records, Standing
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.snapshot import Snapshot
from veredus.bridge.source import AccountSource
from veredus.client.capabilities import types_of_account

# What Email/get gives without looking into the body (RFC 8621 §4.1.1 to §4.1.3), and what our headers tell.
_OF_EMAIL = (
    "id blobId threadId mailboxIds keywords size receivedAt messageId inReplyTo references sender from to cc "
    "bcc replyTo subject sentAt hasAttachment preview header:List-Id:asText "
    "header:Authentication-Results:asText:all"
).split()


def event_types(settings: BridgeSettings, source: AccountSource) -> list[str]:
    """The types that are to become events; whether the server has changes of all is to be seen."""
    if not settings.events.enabled:
        return []
    return list(settings.events.types) or types_of_account(source.client.session, source.account)


def event_follower(reading: Reading, type: str) -> Follower:
    """Follows ``type``, of which the server has changes."""
    settings, source, streams = reading.settings, reading.source, reading.streams
    status = reading.status.track("events", type)
    tools = event_tools(reading, type, reading.attempts(status), DeadLetters(streams.link, settings.dlq))
    wanted = properties_of(type, reading.selection)
    return Follower(
        Pages(source, type, wanted, streams.state),
        EventTrack(type, settings.events, tools),
        event_cursor(streams.state, source.account, type),
        status,
        poll_s=settings.poll_s,
        asked=tools.snapshot.is_asked,
    )


def event_tools(reading: Reading, type: str, attempts: Attempts, letters: Parking) -> Tools:
    """What a track of ``type`` works with; ``letters``: where it leaves what fails."""
    settings, source, streams = reading.settings, reading.source, reading.streams
    wanted = properties_of(type, reading.selection)
    return Tools(
        outlet=Outlet(
            pipeline="events",
            about=source.about(reading.transport),
            link=streams.link,
            objects=streams.objects,
            attempts=attempts,
            letters=letters,
            status=reading.status.track("events", type),
            max_size=streams.event_size,
            evicts=settings.parts.on_full == "evict-oldest",
        ),
        records=Records(source, type, wanted, attempts),
        there=Records(source, type, ["id"], attempts),
        standing=lambda: Standing(source, type),
        before=_before(reading, type),
        snapshot=Snapshot(source, streams.state, "events", settings.snapshot, type=type),
        selection=reading.selection,
    )


def properties_of(type: str, selection: Selection) -> Sequence[str] | None:
    """What of a record an event tells; None: everything."""
    return list(dict.fromkeys([*_OF_EMAIL, *sorted(selection.properties)])) if type == "Email" else None


def _before(reading: Reading, type: str) -> Before:
    kept, bucket = reading.settings.events.before, reading.streams.before
    octets = {"kv": CACHE, "memory": ALONE, "none": 0}[kept]
    return Before(reading.source.account, type, bucket if kept == "kv" else None, octets)
