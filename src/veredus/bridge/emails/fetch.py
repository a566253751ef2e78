"""Emails with all that their messages need, a bounded number of octets at a time, the next ones meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence

from veredus.bridge.attempts import Attempts
from veredus.bridge.records import Records
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.tasks import stop
from veredus.bridge.wire import values
from veredus.client.errors import JMAPError, ProtocolError, TransportError, Unauthorized
from veredus.wire.types import Id, JsonObject

# RFC 8621 §4.2: what Email/get gives by default, which is what jmap2nats asks for.
_PROPERTIES = (
    "id blobId threadId mailboxIds keywords size receivedAt messageId inReplyTo references sender from to cc "
    "bcc replyTo subject sentAt hasAttachment preview bodyValues textBody htmlBody attachments"
).split()
_PARTS = "partId blobId size name type charset disposition cid language location".split()
# What only our own headers need.
_FACTS = ["header:List-Id:asText", "header:Authentication-Results:asText:all"]
# An Email's JSON is hardly ever smaller, and a page of tiny ones must not become one request.
_LEAST_OCTETS = 2048


class EmailFetch:
    """Fetches by Email/get. ``strict``: nothing beyond what jmap2nats asks for."""

    def __init__(self, source: AccountSource, settings: BridgeSettings, also: Collection[str]) -> None:
        """``also``: properties that something else needs."""
        self._source = source
        self._octets = settings.fetch_bytes
        strict = not settings.extra_headers
        wanted = _PROPERTIES if strict else [*_PROPERTIES, *_FACTS, "bodyStructure"]
        self._properties = list(dict.fromkeys([*wanted, *sorted(also)]))
        self._arguments: JsonObject = {
            "bodyProperties": _PARTS if strict else [*_PARTS, "subParts"],
            "maxBodyValueBytes": settings.parts.max_per_part,
        }
        if settings.parts.mode in ("all", "text"):
            self._arguments |= {"fetchTextBodyValues": True, "fetchHTMLBodyValues": True}
        if "bodyValues" in also:  # a route looks into the text
            self._arguments["fetchAllBodyValues"] = True

    def heads(self, properties: Sequence[str], attempts: Attempts) -> Records:
        """What must be known before Emails are fetched."""
        return Records(self._source, "Email", properties, attempts)

    async def all(self, heads: Sequence[JsonObject]) -> AsyncGenerator[tuple[Id, JsonObject | None], None]:
        """Each Email of ``heads`` (``id`` and ``size``), in order; None where it must be fetched alone.

        One request is under way while what the one before brought is being worked on.
        """
        groups = self._groups(heads)
        coming = self._start(groups)
        try:
            while coming is not None:
                ids, task = coming
                emails = await task
                coming = self._start(groups)
                for id in ids:
                    if emails is None:
                        yield id, None
                    elif id in emails:
                        yield id, emails.pop(id)
        finally:
            if coming is not None:
                await stop([coming[1]])

    async def one(self, id: Id) -> JsonObject | None:
        """One Email; None: it is gone. Raises ProtocolError when the server says neither this nor that."""
        found, gone = await self._get([id])
        if id not in found and id not in gone:
            raise ProtocolError(
                self._source.client.host, "Email/get: an id is neither in list nor in notFound"
            )
        return found.get(id)

    def _start(
        self, groups: Iterator[list[Id]]
    ) -> "tuple[list[Id], asyncio.Task[dict[Id, JsonObject] | None]] | None":
        ids = next(groups, None)
        return None if ids is None else (ids, asyncio.create_task(self._together(ids)))

    async def _together(self, ids: list[Id]) -> dict[Id, JsonObject] | None:
        """None: at least one of them cannot be fetched, or they are too many; each alone tells more."""
        try:
            found, gone = await self._get(ids)
            return found if gone >= set(ids) - found.keys() else None
        except Unauthorized:
            raise
        except JMAPError as error:
            if isinstance(error, TransportError) and not await self._source.answers():
                raise
            return None

    async def _get(self, ids: list[Id]) -> tuple[dict[Id, JsonObject], set[Id]]:
        """What is there, and what is not found."""
        async with self._source.client.batch(self._source.account) as batch:
            got = batch.get("Email", ids, self._properties, **self._arguments)
        return {record.id: record.json for record in got.list}, set(got.result.not_found)

    def _groups(self, heads: Sequence[JsonObject]) -> Iterator[list[Id]]:
        group: list[Id] = []
        octets = 0
        for head in heads:
            size = max(_LEAST_OCTETS, values.octets(head.get("size")))
            if group and (octets + size > self._octets or len(group) == self._source.most):
                yield group
                group, octets = [], 0
            group.append(head["id"])
            octets += size
        if group:
            yield group


def text_octets(email: JsonObject | None) -> int:
    """Of what is large in memory, roughly; 0 for one that is still to be fetched."""
    bodies = (email or {}).get("bodyValues")
    found = bodies.values() if isinstance(bodies, dict) else ()
    return sum(len(values.text(body.get("value"))) for body in found if isinstance(body, dict))
