"""One Email of JMAP_EMAILS, of any generation of jmap2nats or of ours."""

import os
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO, Any

from msgspec import Struct

from veredus.bridge.consumer.errors import NoSuchPart, NotOurs, PartFailed, PartSkipped
from veredus.bridge.consumer.held import Held
from veredus.bridge.consumer.objects import Objects
from veredus.bridge.consumer.received import Received, decoded, moment, text

_RAW = "_raw.eml"


class Address(Struct, frozen=True):
    """One of From, To and so on."""

    name: str
    email: str


class Part(Struct, frozen=True, kw_only=True):
    """A body part (RFC 8621 §4.1.4). ``size``: of the blob; a text is stored decoded, with another size.

    ``error`` beside an ``object_key``: a text that the server could not decode; the object is as it came.
    """

    part_id: str = ""
    blob_id: str = ""
    size: int = 0
    type: str = ""
    name: str = ""
    charset: str = ""
    disposition: str = ""
    cid: str = ""
    object_key: str = ""
    skipped: bool = False
    error: str = ""


class Mail(Received):
    """The properties of RFC 8621 §4.1 that the payload has; what it lacks is empty."""

    def __init__(self, held: Held, objects: Objects) -> None:
        """Raises NotOurs."""
        super().__init__(held, objects, decoded(held, held.payload))
        if not self.id or not self.account:
            raise NotOurs(f"{held.where} has no id and accountId, so no bridge wrote it")

    @property
    def id(self) -> str:
        return text(self.json.get("id"))

    @property
    def account(self) -> str:
        return text(self.json.get("accountId"))

    @property
    def thread_id(self) -> str:
        return text(self.json.get("threadId"))

    @property
    def blob_id(self) -> str:
        return text(self.json.get("blobId"))

    @property
    def mailbox_ids(self) -> frozenset[str]:
        return _flags(self.json.get("mailboxIds"))

    @property
    def mailbox_roles(self) -> frozenset[str]:
        """``inbox`` and so on; empty also where the bridge sends no headers of its own."""
        return frozenset(filter(None, self.headers.get("Jmap-Mailbox-Roles", "").split(",")))

    @property
    def keywords(self) -> frozenset[str]:
        """When it was created; what changes later is in JMAP_EVENTS."""
        return _flags(self.json.get("keywords"))

    @property
    def is_snapshot(self) -> bool:
        """It was there before the bridge began, so it is no news."""
        return self.headers.get("Jmap-Snapshot") == "true"

    @property
    def size(self) -> int:
        return int(self.json.get("size") or 0)

    @property
    def received_at(self) -> datetime | None:
        return moment(self.json.get("receivedAt"))

    @property
    def sent_at(self) -> datetime | None:
        return moment(self.json.get("sentAt"))

    @property
    def subject(self) -> str:
        return text(self.json.get("subject"))

    @property
    def preview(self) -> str:
        return text(self.json.get("preview"))

    @property
    def has_attachment(self) -> bool:
        return self.json.get("hasAttachment") is True

    @property
    def sender(self) -> Address | None:
        """The first address of From, else of Sender."""
        return next(iter(self.addresses("from") or self.addresses("sender")), None)

    @property
    def recipients(self) -> list[Address]:
        """To, Cc and Bcc."""
        return [address for name in ("to", "cc", "bcc") for address in self.addresses(name)]

    def addresses(self, property: str) -> list[Address]:
        """``from``, ``to``, ``cc``, ``bcc``, ``sender`` or ``replyTo``."""
        return [
            Address(text(one.get("name")), text(one.get("email"))) for one in _objects(self.json, property)
        ]

    @property
    def attachments(self) -> list[Part]:
        return self._parts("attachments")

    @property
    def parts(self) -> list[Part]:
        """Each once: textBody, htmlBody, attachments."""
        parts = [part for name in ("textBody", "htmlBody", "attachments") for part in self._parts(name)]
        return list(dict.fromkeys(parts))

    def attachment(self, name: str = "*", type: str = "*") -> Part:
        """The first attachment whose file name and type fit (``*.pdf``, ``image/*``). Raises NoSuchPart."""
        for part in self.attachments:
            if fnmatchcase(part.name.lower(), name.lower()) and fnmatchcase(part.type.lower(), type.lower()):
                return part
        raise NoSuchPart(f"Email {self.id} has no attachment like {name!r} of type {type!r}")

    async def text(self) -> str:
        """The plain text; made from the HTML where there is nothing else. Raises PartError."""
        self._require_whole()
        bodies = self._parts("textBody")
        plain = [part for part in bodies if part.type.lower() != "text/html" and _is_text(part)]
        if plain:
            return "\n".join([await self._decoded(part) for part in plain])
        from veredus.formats.html import html_to_text  # noqa: PLC0415 - a parser that few need

        html = [part for part in bodies if _is_text(part)]
        return "\n".join([html_to_text(await self._decoded(part)) for part in html])

    async def html(self) -> str | None:
        """The HTML as it came, not made safe; None: there is none. Raises PartError."""
        self._require_whole()
        html = [part for part in self._parts("htmlBody") if part.type.lower() == "text/html"]
        return "\n".join([await self._decoded(part) for part in html]) if html else None

    async def open(self, part: Part) -> AsyncGenerator[bytes, None]:
        """The octets as they come; only after the last is it known that they are right. Raises PartError."""
        async with aclosing(self._objects.chunks(self._key(part))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read(self, part: Part) -> bytes:
        """All octets, checked. Raises PartError."""
        return await self._objects.read(self._key(part))

    async def save(self, part: Part, path: Path | str) -> None:
        """Write it to ``path``, where nothing appears before it is whole and checked. Raises PartError."""
        with _written_whole(Path(path)) as file:
            async with aclosing(self.open(part)) as chunks:
                async for chunk in chunks:
                    file.write(chunk)

    async def raw(self) -> bytes:
        """The whole message (RFC 5322), where the bridge keeps it (``parts.raw``). Raises PartMissing."""
        of_account = "Jmap2nats-Schema-Version" in self.headers or "/" in self.message_key
        return await self._objects.read(
            f"{self.account}/{self.id}/{_RAW}" if of_account else f"{self.id}/{_RAW}"
        )

    def _key(self, part: Part) -> str:
        if part.object_key:
            return part.object_key
        which = f"part {part.part_id or part.blob_id} of Email {self.id}"
        if part.error:
            raise PartFailed(f"{which} was not stored: {part.error}")
        if part.skipped:
            raise PartSkipped(f"{which} was left out: larger than parts.max_per_part, or of no wanted kind")
        raise NoSuchPart(f"{which} has no object")

    async def _decoded(self, part: Part) -> str:
        octets = await self.read(part)
        charsets = [part.charset, "utf-8"] if part.error else ["utf-8", part.charset]
        for charset in filter(None, charsets):
            try:
                return octets.decode(charset)
            except (LookupError, UnicodeDecodeError):
                continue
        return octets.decode("utf-8", "replace")

    def _require_whole(self) -> None:
        if self.incomplete is not None:
            raise self.incomplete

    def _parts(self, property: str) -> list[Part]:
        return [_part(one) for one in _objects(self.json, property)]


@contextmanager
def _written_whole(target: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when all is in it, and otherwise leaves nothing."""
    number, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(number, "wb") as file:
            yield file
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _objects(json: dict[str, Any], property: str) -> Sequence[dict[str, Any]]:
    value = json.get(property)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _flags(value: Any) -> frozenset[str]:
    return (
        frozenset(name for name, is_set in value.items() if is_set)
        if isinstance(value, dict)
        else frozenset()
    )


def _is_text(part: Part) -> bool:
    return part.type.lower().startswith("text/")


def _part(json: dict[str, Any]) -> Part:
    get = json.get
    return Part(
        part_id=text(get("partId")),
        blob_id=text(get("blobId")),
        size=int(get("size") or 0),
        type=text(get("type")),
        name=text(get("name")),
        charset=text(get("charset")),
        disposition=text(get("disposition")),
        cid=text(get("cid")),
        object_key=text(get("objectKey")),
        skipped=get("skipped") is True,
        error=text(get("error")),
    )
