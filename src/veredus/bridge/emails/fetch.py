"""Emails with all that their messages need, a bounded number of octets at a time, the next ones meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import suppress

from veredus.bridge.settings import BridgeSettings
from veredus.bridge.source import AccountSource
from veredus.bridge.wire.values import octets as octets_of
from veredus.client.errors import JMAPError, TransportError, Unauthorized
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

    async def all(self, heads: Sequence[JsonObject]) -> AsyncIterator[tuple[Id, JsonObject | None]]:
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
                coming[1].cancel()
                with suppress(asyncio.CancelledError):
                    await coming[1]

    async def one(self, id: Id) -> JsonObject | None:
        """One Email; None: it is gone."""
        return (await self._get([id])).get(id)

    def _start(
        self, groups: Iterator[list[Id]]
    ) -> "tuple[list[Id], asyncio.Task[dict[Id, JsonObject] | None]] | None":
        ids = next(groups, None)
        return None if ids is None else (ids, asyncio.create_task(self._together(ids)))

    async def _together(self, ids: list[Id]) -> dict[Id, JsonObject] | None:
        """None: at least one of them cannot be fetched, or they are too many; each alone tells more."""
        try:
            return await self._get(ids)
        except Unauthorized:
            raise
        except JMAPError as error:
            if isinstance(error, TransportError) and not await self._source.answers():
                raise
            return None

    async def _get(self, ids: list[Id]) -> dict[Id, JsonObject]:
        async with self._source.client.batch(self._source.account) as batch:
            got = batch.get("Email", ids, self._properties, **self._arguments)
        return {record.id: record.json for record in got.list}

    def _groups(self, heads: Sequence[JsonObject]) -> Iterator[list[Id]]:
        group: list[Id] = []
        octets = 0
        for head in heads:
            size = max(_LEAST_OCTETS, octets_of(head.get("size")))
            if group and (octets + size > self._octets or len(group) == self._source.most):
                yield group
                group, octets = [], 0
            group.append(head["id"])
            octets += size
        if group:
            yield group
