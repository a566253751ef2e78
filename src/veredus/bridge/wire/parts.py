"""The parts of an Email and what is to be done with each: store its text, download it, or leave it.

Each blob once; the first part that names it decides. ``textBody``, ``htmlBody`` and ``attachments`` come
first, in that order, and then what only ``bodyStructure`` names: jmap2nats never has a bodyStructure (it is
not among the default properties), so with it first a body that is also attached would be stored differently
from it.
"""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from veredus.bridge.settings import PartsSettings
from veredus.bridge.wire import go_json, values
from veredus.wire.types import JsonObject, is_id

# As deep as anybody looks into a bodyStructure; real ones have five levels.
MAX_DEPTH = 100


class Outcome(Struct, frozen=True):
    """What became of a blob, as the payload tells it: a key, or left out by rule, or an error."""

    object_key: str = ""
    skipped: bool = False
    error: str = ""

    @classmethod
    def failed(cls, step: Literal["download", "put"], reason: str) -> "Outcome":
        """An error in the words of jmap2nats: the step, a colon, the reason."""
        return cls(error=f"{step}: {reason}")


class PartPlan(Struct, frozen=True, kw_only=True):
    """One blob. ``text``: what to store for the action ``text``; ``error``: what is wrong for ``fail``.

    ``skip``: larger than ``max_per_part``, or of a kind that ``mode`` leaves out. ``size`` is that of the
    blob.
    """

    blob_id: str
    action: Literal["skip", "text", "download", "fail"]
    type: str
    name: str
    charset: str
    size: int
    text: bytes = b""
    error: str = ""

    @property
    def outcome(self) -> Outcome | None:
        """The outcome, where nothing has to be done for it."""
        if self.action == "skip":
            return Outcome(skipped=True)
        return Outcome(error=self.error) if self.action == "fail" else None


def plans(email: JsonObject, settings: PartsSettings, *, text_only_decoded: bool) -> list[PartPlan]:
    """A plan for each blob of ``email``; ``text_only_decoded`` is the rule of generation 1."""
    bodies = {
        values.text(part.get("partId"))
        for part in _lists(email, "textBody", "htmlBody")
        if values.text(part.get("type")).lower().startswith("text/")
    } - {""}
    found: dict[str, PartPlan] = {}
    for part in _in_order(email):
        blob_id, part_id = values.text(part.get("blobId")), values.text(part.get("partId"))
        if blob_id and blob_id not in found:
            is_body, value = part_id in bodies, _value(email, part_id)
            found[blob_id] = _refused(blob_id, part, settings, is_body=is_body) or (
                _decoded(part, value, is_body=is_body) if text_only_decoded else _decoded_or_raw(part, value)
            )
    return list(found.values())


def _in_order(email: JsonObject) -> Iterator[JsonObject]:
    yield from _lists(email, "textBody", "htmlBody", "attachments")
    structure = email.get("bodyStructure")
    if isinstance(structure, dict):
        yield from _walk(structure, 0)


def _lists(email: JsonObject, *properties: str) -> Iterator[JsonObject]:
    for property in properties:
        yield from (part for part in values.objects(email.get(property)) if part is not None)


def _walk(part: JsonObject, depth: int) -> Iterator[JsonObject]:
    yield part
    if depth < MAX_DEPTH:
        for sub in _lists(part, "subParts"):
            yield from _walk(sub, depth + 1)


def _refused(blob_id: str, part: JsonObject, settings: PartsSettings, *, is_body: bool) -> PartPlan | None:
    """Of all generations: 0a and 0 do not look at the blob id, and make a bad name of an object of it."""
    if not is_id(blob_id):
        return _plan(part, "fail", error="invalid blob id")
    kept = settings.mode in {"all", "text" if is_body else "attachments"}
    return None if kept and values.octets(part.get("size")) <= settings.max_per_part else _plan(part, "skip")


def _decoded(part: JsonObject, value: JsonObject | None, *, is_body: bool) -> PartPlan:
    """Generation 1: a text body is its decoded text with LF, or an error; all else is raw."""
    if not is_body:
        return _plan(part, "download")
    if value is None:
        return _body_error(part, "missing")
    if value.get("isTruncated") is True:
        return _body_error(part, "truncated")
    if value.get("isEncodingProblem") is True:
        return _body_error(part, "encoding problem")
    return _plan(part, "text", text=_lines(values.text(value.get("value"))))


def _decoded_or_raw(part: JsonObject, value: JsonObject | None) -> PartPlan:
    """Generations 0a and 0: the decoded text of whatever has one, else raw.

    They store a truncated text, too; we take the raw part then, since nothing of it is lost.
    """
    if value is None or value.get("isTruncated") is True:
        return _plan(part, "download")
    return _plan(part, "text", text=go_json.scrub(values.text(value.get("value"))).encode())


def _value(email: JsonObject, part_id: str) -> JsonObject | None:
    bodies = email.get("bodyValues")
    value = bodies.get(part_id) if isinstance(bodies, dict) and part_id else None
    return value if isinstance(value, dict) else None


def _body_error(part: JsonObject, problem: str) -> PartPlan:
    return _plan(part, "fail", error=f"body value {problem}: partId {values.text(part.get('partId'))}")


def _lines(value: str) -> bytes:
    return go_json.scrub(value).replace("\r\n", "\n").replace("\r", "\n").encode()


def _plan(
    part: JsonObject,
    action: Literal["skip", "text", "download", "fail"],
    *,
    text: bytes = b"",
    error: str = "",
) -> PartPlan:
    return PartPlan(
        blob_id=values.text(part.get("blobId")),
        action=action,
        type=values.text(part.get("type")),
        name=values.text(part.get("name")),
        charset=values.text(part.get("charset")),
        size=values.octets(part.get("size")),
        text=text,
        error=error,
    )
