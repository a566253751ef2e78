"""Created Emails of one account, followed into JMAP_EMAILS with the cursor that jmap2nats has, too."""

from veredus.bridge.attempts import Attempts
from veredus.bridge.cursor import email_cursor
from veredus.bridge.dead_letters import DeadLetters, Parking
from veredus.bridge.emails.fetch import EmailFetch
from veredus.bridge.emails.parts import PartStore
from veredus.bridge.emails.reading import Reading
from veredus.bridge.emails.track import EmailTrack, Tools
from veredus.bridge.follower import Follower
from veredus.bridge.publishing import Outlet
from veredus.bridge.snapshot import Snapshot
from veredus.bridge.streams import published


async def email_follower(reading: Reading) -> Follower:
    """Looks first what is at the end of the stream already. Raises NatsError."""
    settings, source, streams = reading.settings, reading.source, reading.streams
    status = reading.status.track("emails", "Email")
    tools = email_tools(reading, reading.attempts(status), DeadLetters(streams.link, settings.dlq))
    known = await published(streams.link, settings, source.account)
    return Follower(
        source,
        EmailTrack(settings, streams.generation, tools, known),
        email_cursor(streams.cursors, source.account),
        status,
        poll_s=settings.poll_s,
        asked=tools.snapshot.is_asked,
    )


def email_tools(reading: Reading, attempts: Attempts, letters: Parking) -> Tools:
    """What a track of Emails works with; ``letters``: where it leaves what fails."""
    settings, source, streams = reading.settings, reading.source, reading.streams
    status = reading.status.track("emails", "Email")
    strict = not settings.extra_headers
    return Tools(
        fetch=EmailFetch(source, settings, reading.selection.route_properties),
        parts=PartStore(source, streams.objects, settings.parts, streams.generation, status, strict=strict),
        outlet=Outlet(
            pipeline="emails",
            about=source.about(reading.transport),
            link=streams.link,
            objects=streams.objects,
            attempts=attempts,
            letters=letters,
            status=status,
            max_size=streams.max_size,
            evicts=settings.parts.on_full == "evict-oldest",
        ),
        selection=reading.selection,
        snapshot=Snapshot(source, streams.state, "emails", settings.snapshot),
    )
