"""Whether a bridge could run as its settings say: each thing looked at, and what to do if it is not so.

Nothing is changed. Permissions are tried with messages that NATS checks and then refuses to store, since
they expect a stream of a name that no stream has.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec
from msgspec import Struct

from veredus.bridge.accounts import accounts_of
from veredus.bridge.bridge import connection
from veredus.bridge.config.secret import read as read_secret
from veredus.bridge.mailboxes import MailboxIndex
from veredus.bridge.nats import resources
from veredus.bridge.nats.connect import connect
from veredus.bridge.nats.errors import CannotConnect, Missing, NatsError, NoStream, NotAllowed, TimedOut
from veredus.bridge.nats.jetstream import call, last_message, stream_info
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import encoded_headers
from veredus.bridge.nats.resources import Resource
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.streams import wanted
from veredus.bridge.wire.generation import detect
from veredus.client.client import Client
from veredus.client.errors import JMAPError, Unauthorized
from veredus.client.push.push import Push
from veredus.client.push.signals import Connected, Lost
from veredus.client.search import Context, SearchError, UnknownMailbox, parse, to_filter
from veredus.client.session import MAIL

Level = Literal["ok", "warn", "FAIL"]
_PATIENCE_S = 15.0
_SKEW_S = 30.0
_FULL = 0.9
_NO_STREAM = {"Nats-Expected-Stream": "of-bridge-check"}
_NOT_THIS_STREAM = 10060
_UNDECIDED = "until it is there all is included, nothing excluded, and nothing routed"


class Finding(Struct, frozen=True):
    """What was looked at, and how it is. ``text`` ends in advice unless all is well."""

    name: str
    level: Level
    text: str


async def check(settings: BridgeSettings) -> AsyncGenerator[Finding, None]:
    """Findings as they come: JMAP first, then NATS."""
    async with aclosing(_jmap(settings)) as findings:
        async for finding in findings:
            yield finding
    async with aclosing(_nats(settings)) as findings:
        async for finding in findings:
            yield finding


# ---------------------------------------------------------------- JMAP


async def _jmap(settings: BridgeSettings) -> AsyncGenerator[Finding, None]:
    client = connection(settings)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await client.__aenter__()
    except TimeoutError:
        yield Finding("jmap", "FAIL", f"{settings.jmap.url}: no answer in {_PATIENCE_S:g} s")
        return
    except JMAPError as error:
        yield _of_session(settings, error)
        return
    try:
        session = client.session
        yield Finding("jmap", "ok", f"{session.url}: the credentials are taken, as {session.username}")
        for finding in _accounts(client, settings):
            yield finding
        for finding in await _rules(client, settings):
            yield finding
        yield await _clock(client)
        yield await _push(client)
    finally:
        await client.__aexit__(None, None, None)


def _of_session(settings: BridgeSettings, error: JMAPError) -> Finding:
    if isinstance(error, Unauthorized):
        return Finding("jmap", "FAIL", f"{error} - see jmap.token: is it of this server, and still valid?")
    return Finding("jmap", "FAIL", f"{error} - see jmap.session_url and jmap.token")


def _accounts(client: Client, settings: BridgeSettings) -> Iterator[Finding]:
    session = client.session
    try:
        ids = accounts_of(session, settings.jmap)
    except JMAPError as error:
        yield Finding("account", "FAIL", f"{error} - see jmap.accounts")
        return
    if not ids:
        yield Finding("account", "warn", "no account of this session has mail - a bridge waits for one")
    for id in ids:
        account = session.accounts[id]
        if MAIL in account.account_capabilities:
            yield Finding("account", "ok", f"{id} ({account.name})")
        else:
            yield Finding("account", "FAIL", f"{id} ({account.name}) has no mail - see jmap.accounts")


async def _rules(client: Client, settings: BridgeSettings) -> list[Finding]:
    """Of filters and routes those that name a Mailbox which is not there."""
    texts = {"filter.include": settings.filter.include, "filter.exclude": settings.filter.exclude}
    texts |= {f"route {route.subject}": route.match for route in settings.routes}
    found = []
    try:
        for id in accounts_of(client.session, settings.jmap) if any(texts.values()) else ():
            index = MailboxIndex(AccountSource(client, id, settings.concurrency))
            await index.refresh()
            for name, text in texts.items():
                problem = _undecidable(text, index)
                if problem is not None:
                    found.append(Finding(name, "warn", f"account {id}: {problem} - {_UNDECIDED}"))
    except JMAPError as error:
        found.append(Finding("filter", "warn", f"the Mailboxes cannot be read: {error}"))
    return found


def _undecidable(text: str, index: MailboxIndex) -> str | None:
    try:
        if text:
            to_filter(parse(text), Context(index.search, datetime.now(UTC)))
    except UnknownMailbox as error:
        return str(error)
    except SearchError:  # what no server can filter by a bridge decides for itself
        pass
    return None


async def _clock(client: Client) -> Finding:
    """Only whole seconds, and the way there and back: what is less than half a minute says nothing."""
    try:
        async with client.connection.open("GET", client.session.url) as response:
            theirs = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except (JMAPError, ValueError, TypeError):
        return Finding("clock", "warn", "the server does not tell its time - compare the clocks by hand")
    skew = time.time() - theirs
    if abs(skew) > _SKEW_S:
        where = "ahead of" if skew > 0 else "behind"
        text = f"ours is {abs(skew):.0f} s {where} {client.host} - set it by NTP"
        return Finding("clock", "warn", f"{text}: TLS and dates in events depend on it")
    return Finding("clock", "ok", f"as that of {client.host}, to {max(1, abs(skew)):.0f} s")


async def _push(client: Client) -> Finding:
    """Waits until something pushes, or it is clear that nothing will."""
    push = Push(client.connection, client.refresh_session)
    lost = ""
    try:
        async with asyncio.timeout(_PATIENCE_S), aclosing(push.signals(["Email"])) as signals:
            async for signal in signals:
                match signal:
                    case Connected(transport) if transport != "poll":
                        return Finding("push", "ok", f"{transport} is connected")
                    case Connected():
                        why = "; ".join(f"{name}: {error}" for name, error in push.refusals.items())
                        text = f"the server offers none that works ({why or 'no URL in the session'})"
                        return Finding("push", "warn", f"{text} - changes are found by asking each minute")
                    case Lost(_, error):
                        lost = str(error)
    except TimeoutError:
        pass
    except JMAPError as error:
        return Finding("push", "FAIL", str(error))
    text = lost or f"not connected in {_PATIENCE_S:g} s"
    return Finding("push", "warn", f"{text} - does a proxy hold back event streams or WebSockets?")


# ---------------------------------------------------------------- NATS


async def _nats(settings: BridgeSettings) -> AsyncGenerator[Finding, None]:
    try:
        link = await connect(settings.nats, read_secret)
    except NatsError as error:
        yield Finding("nats", "FAIL", f"{error} - see {_keys_for(error)}")
        return
    try:
        version = ".".join(map(str, link.features.version))
        yield Finding(
            "nats", "ok", f"{link.server}: version {version}, messages up to {link.max_payload} octets"
        )
        yield await _inbox(link)
        try:
            await call(link, "INFO")
        except NatsError as error:
            advice = "start nats-server with -js, and allow $JS.API.>"
            yield Finding("jetstream", "FAIL", f"{error} - {advice}")
            return
        for resource, managed in wanted(settings):
            for finding in await _resource(link, resource, managed, settings):
                yield finding
        yield await _generation(link, settings)
        for route in settings.routes:
            subject = route.subject.replace("{account}", "account")
            yield await _may_publish(link, subject, f"route {route.subject}")
    except NatsError as error:
        yield Finding("nats", "FAIL", f"{error}")
    finally:
        await link.close()


def _keys_for(error: NatsError) -> str:
    if isinstance(error, CannotConnect):
        return "nats.tls_ca" if "CERTIFICATE" in str(error) else "nats.url: is that server running?"
    return "nats.url, and nats.token, nats.user, nats.creds or nats.nkey_seed"


async def _inbox(link: Link) -> Finding:
    """A message to ourselves, as every answer of NATS is."""
    heard = asyncio.Event()
    subject = link.inbox()
    number = link.listen(subject, lambda *_: heard.set())
    try:
        link.send(subject, b"")
        await link.settle()
    finally:
        link.ignore(number)
    if heard.is_set():
        return Finding("permissions", "ok", "messages to our own inbox come back")
    return Finding("permissions", "FAIL", "may not publish to _INBOX.> - allow it, and to subscribe to it")


async def _resource(link: Link, resource: Resource, managed: bool, settings: BridgeSettings) -> list[Finding]:
    try:
        differences = await resources.drift(link, resource)
    except NatsError as error:
        return [Finding(resource.about, "FAIL", f"{error} - allow $JS.API.STREAM.INFO.{resource.name}")]
    if differences is None:
        if managed:
            text = "is not there, and externally_managed is set - create it, or unset that"
            return [Finding(resource.about, "FAIL", text)]
        return [await _may_manage(link, resource, "CREATE", "is not there yet: `bridge run` makes it")]
    found = [await _room(link, resource, settings)]
    for difference in differences:
        text = f"{difference.field} is {difference.there}, and would be {difference.wanted}"
        if managed:
            level: Level = "FAIL" if difference.field == "subjects" else "warn"
            found.append(Finding(resource.about, level, f"{text} - whoever manages it must change it"))
        elif difference.kept:
            found.append(Finding(resource.about, "warn", f"{text} - it is left as it is"))
        else:
            found.append(await _may_manage(link, resource, "UPDATE", f"{text} - `bridge run` changes it"))
    subject = resource.subjects[0].replace(">", "check").replace("*", "check")
    found.append(await _may_publish(link, subject, resource.about))
    return found


async def _may_manage(link: Link, resource: Resource, verb: str, text: str) -> Finding:
    """With a request that NATS refuses for another reason, when it is allowed. Raises NatsLost."""
    subject = f"$JS.API.STREAM.{verb}.{resource.name}"
    try:
        await link.request(subject, b'{"name":"of-bridge-check"}')
    except (NotAllowed, TimedOut) as error:
        return Finding(resource.about, "FAIL", f"{text}, but {error} - allow it")
    return Finding(resource.about, "ok" if verb == "CREATE" else "warn", text)


async def _room(link: Link, resource: Resource, settings: BridgeSettings) -> Finding:
    info = await stream_info(link, resource.name)
    limit = int(info.config.get("max_bytes", -1))
    holds = f"{info.messages} messages, {info.octets} octets"
    if limit <= 0 or info.config.get("discard") != "new":
        return Finding(resource.about, "ok", holds)
    share = info.octets / limit
    text = f"{holds}, {share:.0%} of max_bytes"
    if share < _FULL:
        return Finding(resource.about, "ok", text)
    policy = settings.parts.on_full
    return Finding(resource.about, "warn", f"{text} - raise parts.max_bytes; when full: {policy}")


async def _may_publish(link: Link, subject: str, about: str) -> Finding:
    """Raises NatsLost."""
    try:
        reply = await link.request(subject, b"", encoded_headers(_NO_STREAM))
    except NotAllowed as error:
        return Finding(about, "FAIL", f"{error} - allow it")
    except NoStream:
        return Finding(about, "FAIL", f"no stream takes {subject!r} - create one that does")
    except TimedOut as error:
        return Finding(about, "FAIL", f"{error} - who answers on this subject?")
    code = _error_code(reply.data)
    if code == _NOT_THIS_STREAM:
        return Finding(about, "ok", f"may publish to {subject.removesuffix('check')}>")
    return Finding(about, "warn", f"{subject}: the answer to a dry run was JetStream error {code}")


def _error_code(data: bytes) -> int:
    try:
        answer = msgspec.json.decode(data, type=dict[str, object])
    except msgspec.DecodeError:
        return 0
    error = answer.get("error")
    return int(error.get("err_code", 0)) if isinstance(error, dict) else 0


async def _generation(link: Link, settings: BridgeSettings) -> Finding:
    prefix, name = settings.stream.subject_prefix, settings.stream.name
    if settings.wire != "auto":
        return Finding("wire", "ok", f"{settings.wire}, as the settings say")
    if not settings.stream.enabled:
        return Finding("wire", "ok", "no stream of Emails is wanted")
    try:
        last = await last_message(link, name, f"{prefix}.>")
    except Missing:
        last = None
    wire = detect(*((None, prefix, None) if last is None else (last.subject, prefix, last.headers)))
    because = "since the stream is empty" if last is None else f"as message {last.sequence} of the stream"
    return Finding("wire", "ok", f"generation {wire}, {because}")
