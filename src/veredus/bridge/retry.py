"""Dead letters once more: read anew, published as any other, and removed when that is acknowledged."""

from collections.abc import AsyncIterator, Iterable
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from veredus.bridge.attempts import Attempts, Unreachable
from veredus.bridge.dead_letters import DeadLetters, Parked
from veredus.bridge.emails.follow import email_tools
from veredus.bridge.emails.reading import Reading
from veredus.bridge.emails.select import Selection, rules
from veredus.bridge.emails.track import EmailTrack
from veredus.bridge.events.follow import event_tools
from veredus.bridge.events.track import EventTrack
from veredus.bridge.mailboxes import MailboxIndex
from veredus.bridge.nats.errors import NatsError, NatsLost
from veredus.bridge.publishing import States
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.status import AccountStatus, TrackStatus
from veredus.bridge.streams import Streams
from veredus.bridge.wire.dead_letter import DeadLetter
from veredus.client.client import Client
from veredus.client.errors import JMAPError
from veredus.client.results import Changes
from veredus.wire.types import Id

Outcome: TypeAlias = Literal["published", "known", "gone", "left out", "failed"]
# Somebody waits for each: fewer than a reader makes, and the letter stays where it is.
_ATTEMPTS = 2
_DONE = frozenset({"published", "known", "gone"})
_EMAIL = "Email"


class Retried(Struct, frozen=True):
    """``known``: the stream had it already; ``gone``: the server has it no more; in both cases, and when it
    is ``published``, the letter is removed. ``left out``: a filter of today does not want it."""

    letter: Parked
    outcome: Outcome
    error: str = ""


async def retry(
    client: Client, streams: Streams, settings: BridgeSettings, letters: Iterable[Parked]
) -> AsyncIterator[Retried]:
    """Each letter in its order. Raises NatsLost."""
    stored = DeadLetters(streams.link, settings.dlq)
    pipelines: dict[tuple[Id, str, str], _Pipeline] = {}
    for letter in letters:
        why = _impossible(client, settings, letter)
        if why is not None:
            yield Retried(letter, "failed", why)
            continue
        key = (letter.account, letter.pipeline, letter.type)
        if key not in pipelines:
            source = AccountSource(client, letter.account, settings.concurrency)
            mailboxes, status = MailboxIndex(source), AccountStatus(source.account)
            selection = Selection(rules(settings.filter, settings.routes), mailboxes)
            reading = Reading(settings, source, streams, status, selection, "poll")
            of = _Emails if letter.pipeline == "emails" else _Events
            pipelines[key] = of(reading, mailboxes, letter.type)
        retried = await _retried(pipelines[key], letter)
        if retried.outcome in _DONE:
            await stored.drop(letter.sequence)
        yield retried


def _impossible(client: Client, settings: BridgeSettings, letter: Parked) -> str | None:
    """Why this letter cannot even be tried."""
    if letter.account not in client.session.accounts:
        return "the session does not have its account"
    if letter.pipeline == "emails":
        wrong = letter.type != _EMAIL or not settings.stream.enabled
        return "there is no stream of Emails for it" if wrong else None
    if not settings.events.enabled:
        return "there is no stream of events: set events.enabled"
    if letter.op not in ("created", "updated", "destroyed"):
        return f"part of a snapshot: `bridge snapshot --events --type {letter.type} --full` publishes it"
    return None


async def _retried(pipeline: "_Pipeline", letter: Parked) -> Retried:
    pipeline.kept.forget()
    counts = pipeline.status.counts
    counts.clear()
    try:
        await pipeline.publish(letter)
    except NatsLost:
        raise
    except (JMAPError, NatsError, Unreachable) as error:
        return Retried(letter, "failed", str(error))
    if pipeline.kept.error is not None:
        return Retried(letter, "failed", pipeline.kept.error)
    if counts["published"]:
        return Retried(letter, "published")
    if counts["duplicates"]:
        return Retried(letter, "known")
    return Retried(letter, "left out" if counts["left_out"] else "gone")


class _Kept:
    """In the place of the dead letters: the letter is there already."""

    def __init__(self) -> None:
        self.error: str | None = None

    def forget(self) -> None:
        self.error = None

    async def park(self, letter: DeadLetter) -> None:
        self.error = f"{letter.error_type}: {letter.error}"


class _Pipeline(Protocol):
    """A track without its cursor."""

    kept: _Kept
    status: TrackStatus

    async def publish(self, letter: Parked) -> None:
        """When it returns ``status`` and ``kept`` tell what became of it. Raises JMAPError, NatsError."""
        ...


def _attempts(reading: Reading) -> Attempts:
    return Attempts(_ATTEMPTS, reading.source.answers, lambda: None)


class _Emails:
    def __init__(self, reading: Reading, mailboxes: MailboxIndex, type: str) -> None:
        self._source, self._mailboxes = reading.source, mailboxes
        self._is_new = True
        self.kept, self.status = _Kept(), reading.status.track("emails", type)
        tools = email_tools(reading, _attempts(reading), self.kept)
        self._track = EmailTrack(reading.settings, reading.streams.generation, tools, ())

    async def publish(self, letter: Parked) -> None:
        if self._is_new:
            await self._mailboxes.refresh()
            self._is_new = False
        heads = await self._source.get(_EMAIL, [letter.id], self._track.properties)
        states = States(letter.old_state, letter.new_state or "", snapshot=letter.op == "snapshot")
        await self._track.publish(heads, states)


class _Events:
    """The event has the id it would have had, and tells of the record as it is now."""

    def __init__(self, reading: Reading, mailboxes: MailboxIndex, type: str) -> None:
        self._mailboxes = mailboxes
        self._is_new = True
        self.kept, self.status = _Kept(), reading.status.track("events", type)
        tools = event_tools(reading, type, _attempts(reading), self.kept)
        self._track = EventTrack(type, reading.settings.events, tools)

    async def publish(self, letter: Parked) -> None:
        if self._is_new:
            await self._mailboxes.refresh()
            self._is_new = False
        changes = Changes(
            old_state=letter.old_state or "",
            new_state=letter.new_state or "",
            has_more_changes=False,
            created=[letter.id] if letter.op == "created" else [],
            updated=[letter.id] if letter.op == "updated" else [],
            destroyed=[letter.id] if letter.op == "destroyed" else [],
        )
        await self._track.take(changes, [])
