"""After the dust has settled: what must be true of the stream, the object store and the cursor.

What the bridge promises (RFC 8620 §5.2 read into JetStream): each Email that was created is in the stream, in
the order of the changes, again only under the same Nats-Msg-Id, and every part that it names is there.
"""

import base64
import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from e2e.clients import HttpJmap


class Names(Struct, frozen=True, kw_only=True):
    """Where the bridge writes, as in its settings."""

    stream: str = "JMAP_EMAILS"
    prefix: str = "jmap.email"
    bucket: str = "email-parts"
    cursor_bucket: str = "JMAP_EMAILS_CURSOR"
    dead_letters: str = "JMAP_DLQ"


class Published(Struct):
    """A message of a stream. ``email``: the id of the Email it is about."""

    seq: int
    subject: str
    email: str
    message_id: str
    body: Any
    headers: dict[str, str] = field(default_factory=dict)


async def created_since(jmap: HttpJmap, state: str) -> list[str]:
    """Ids of Emails created after ``state`` that still exist, oldest first, page by page."""
    ids: list[str] = []
    while True:
        changes = await jmap.call("Email/changes", sinceState=state, maxChanges=500)
        ids += changes["created"]
        state = changes["newState"]
        if not changes["hasMoreChanges"]:
            break
    destroyed = set(ids) - set(await _existing(jmap, ids))
    return [id for id in ids if id not in destroyed]


async def _existing(jmap: HttpJmap, ids: Sequence[str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(ids), 500):
        got = await jmap.call("Email/get", ids=ids[start : start + 500], properties=["id"])
        found += [email["id"] for email in got["list"]]
    return found


async def messages(nats: Client, stream: str) -> list[Published]:
    """All that a stream has, first to last; nothing: there is no such stream."""
    js = nats.jetstream()
    try:
        left = (await js.stream_info(stream)).state.messages
    except NotFoundError:
        return []
    config = ConsumerConfig(
        ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL, inactive_threshold=30
    )
    subscription = await js.pull_subscribe("", stream=stream, config=config)
    found: list[Published] = []
    while left > 0:
        for message in await subscription.fetch(min(left, 200), timeout=20):
            found.append(_published(message))
            left -= 1
    await js.delete_consumer(stream, (await subscription.consumer_info()).name)
    await subscription.unsubscribe()
    return found


def _published(message: Any) -> Published:
    headers = dict(message.headers or {})
    body = json.loads(message.data) if message.data else None
    email = headers.get("Jmap-Email-Id") or headers.get("Jmap-Id") or (body or {}).get("id", "")
    return Published(
        message.metadata.sequence.stream,
        message.subject,
        email,
        headers.get("Nats-Msg-Id", ""),
        body,
        headers,
    )


# ------------------------------------------------------------------ all of it


async def every_email_is_in_stream(
    jmap: HttpJmap,
    nats: Client,
    expected: Sequence[str],
    names: Names = Names(),  # noqa: B008 - frozen
    *,
    parked: Collection[str] = (),
    in_order: bool = True,
    parts_may_fail: bool = False,
    parts_of: int | None = None,
    orphans_before: datetime | None = None,
) -> list[Published]:
    """``expected``: ids in the order of the changes (``created_since``). Gives the messages of the account.

    ``parked``: ids that must be in the dead-letter stream, and no others may be. ``in_order`` False: some came by a
    snapshot, which goes by receivedAt. ``parts_may_fail``: a part may
    be told of with an error, as when the bucket was full. ``parts_of``: only the newest so many messages must have
    their parts (None: all). ``orphans_before``: chunks older than this must
    belong to an object (None: all of them).
    """
    found = [one for one in await messages(nats, names.stream) if one.subject.split(".")[-1] == jmap.account]
    await _dead_letters_are(nats, names, set(parked))
    _all_there(found, [id for id in expected if id not in set(parked)], in_order)
    _repeated_only_under_the_same_id(found)
    for one in found if parts_of is None else found[len(found) - parts_of :]:
        is_gone = one.email not in expected
        await parts_are_stored(jmap, nats, one, names, may_fail=parts_may_fail, is_gone=is_gone)
    await no_orphans(nats, names, orphans_before or datetime.now(UTC))
    await cursor_is_at_the_end(jmap, nats, names)
    return found


async def _dead_letters_are(nats: Client, names: Names, parked: set[str]) -> None:
    dead = {one.email for one in await messages(nats, names.dead_letters)}
    assert dead == parked, f"dead letters that were not expected: {dead - parked}; missing: {parked - dead}"


def _all_there(found: Sequence[Published], expected: Sequence[str], in_order: bool) -> None:
    first: dict[str, int] = {}
    for one in found:
        first.setdefault(one.email, one.seq)
    lost = [id for id in expected if id not in first]
    assert not lost, f"{len(lost)} of {len(expected)} Emails are not in the stream, the first is {lost[0]}"
    order = sorted(expected, key=first.__getitem__)
    wrong = [(want, got) for want, got in zip(expected, order, strict=True) if want != got]
    assert not (wrong and in_order), (
        f"{len(wrong)} Emails are not in order: {wrong[0][1]} stands where {wrong[0][0]} belongs"
    )


def _repeated_only_under_the_same_id(found: Sequence[Published]) -> None:
    names: dict[str, str] = {}
    for one in found:
        assert one.message_id, f"message {one.seq} has no Nats-Msg-Id"
        assert names.setdefault(one.email, one.message_id) == one.message_id, (
            f"{one.email} has two Nats-Msg-Ids"
        )
    assert len(set(names.values())) == len(names), "two Emails have the same Nats-Msg-Id"


# ------------------------------------------------------------------ parts


async def parts_are_stored(
    jmap: HttpJmap,
    nats: Client,
    one: Published,
    names: Names,
    *,
    may_fail: bool = False,
    is_gone: bool = False,
) -> int:
    """Each objectKey leads to an object with the digest it says and the octets of the server; how many there were.

    ``may_fail``: a part may have an error; else only one that is in the message itself (its charset).
    ``is_gone``: the Email was destroyed, so its octets cannot be compared.
    """
    body = one.body
    if body.get("truncated"):
        body = json.loads(await _read_checked(nats, names.bucket, body["objectKey"]))
    # The first part that names a blob decides what is stored, so it comes last here.
    parts = {part["blobId"]: part for part in reversed(list(_parts(body))) if part.get("blobId")}
    bodies = {part.get("partId") for kind in ("textBody", "htmlBody") for part in body.get(kind, ())}
    stored = 0
    for part in parts.values():
        if "error" in part:
            assert may_fail or part["error"].startswith("body value encoding problem"), part["error"]
            continue
        if part.get("skipped"):
            continue
        data = await _read_checked(nats, names.bucket, part["objectKey"])
        stored += 1
        if is_gone:
            continue
        if part.get("partId") in bodies and part.get("type", "").lower().startswith("text/"):
            wanted = await _text(jmap, one.email, part["partId"])
        else:
            wanted = await jmap.download(part["blobId"])
        assert data == wanted, (
            f"{part['objectKey']}: {len(data)} octets that are not the {len(wanted)} of the server"
        )
    return stored


def _parts(body: Any) -> Iterator[Any]:
    for kind in ("textBody", "htmlBody", "attachments"):
        yield from body.get(kind) or ()
    left = [body["bodyStructure"]] if body.get("bodyStructure") else []
    while left:
        part = left.pop()
        yield part
        left += part.get("subParts") or ()


async def _read_checked(nats: Client, bucket: str, key: str) -> bytes:
    """An object's octets, which must be what its meta says."""
    meta, data = await read_object(nats, bucket, key)
    digest = "SHA-256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
    assert meta["digest"] == digest, f"{key}: the digest is of something else"
    assert meta["size"] == len(data), f"{key}: {meta['size']} octets, there are {len(data)}"
    return data


async def _text(jmap: HttpJmap, email: str, part: str) -> bytes:
    """The decoded text with LF, as jmap2nats stores it."""
    got = await jmap.call(
        "Email/get",
        ids=[email],
        properties=["bodyValues"],
        fetchTextBodyValues=True,
        fetchHTMLBodyValues=True,
    )
    assert got["list"], f"{email} is gone: its text cannot be compared"
    text = got["list"][0]["bodyValues"][part]["value"]
    return str(text).replace("\r\n", "\n").replace("\r", "\n").encode()


async def read_object(nats: Client, bucket: str, key: str) -> tuple[Any, bytes]:
    """An object's meta and octets, read from the stream below the object store."""
    js, stream = nats.jetstream(), f"OBJ_{bucket}"
    name = base64.urlsafe_b64encode(key.encode()).decode()
    try:
        message = await js.get_last_msg(stream, f"$O.{bucket}.M.{name}")
    except NotFoundError:
        raise AssertionError(f"there is no object {key}") from None
    meta = json.loads(message.data or b"{}")
    assert not meta.get("deleted"), f"the object {key} was deleted"
    data, seq = b"", 1
    for _ in range(meta["chunks"]):
        chunk = await js.get_msg(stream, seq=seq, subject=f"$O.{bucket}.C.{meta['nuid']}", next=True)
        data += chunk.data or b""
        assert chunk.seq is not None
        seq = chunk.seq + 1
    return meta, data


async def no_orphans(nats: Client, names: Names, before: datetime) -> None:
    """Each chunk that is older than ``before`` belongs to an object."""
    js, stream = nats.jetstream(), f"OBJ_{names.bucket}"
    try:
        info = await js.stream_info(stream, subjects_filter=f"$O.{names.bucket}.>")
    except NotFoundError:
        return
    subjects = info.state.subjects or {}
    owned = set()
    for subject in subjects:
        if subject.startswith(f"$O.{names.bucket}.M."):
            meta = json.loads((await js.get_last_msg(stream, subject)).data or b"{}")
            owned.add(meta["nuid"])
    for subject in subjects:
        if subject.startswith(f"$O.{names.bucket}.C.") and subject.rpartition(".")[2] not in owned:
            time = (await js.get_last_msg(stream, subject)).time
            assert time is not None
            assert time >= before, f"{subject}: chunks of no object, from {time}"


# ------------------------------------------------------------------ cursor


def cursor_key(account: str) -> str:
    """Under which jmap2nats keeps its cursor."""
    return "account." + base64.urlsafe_b64encode(account.encode()).decode().rstrip("=")


async def cursor(nats: Client, names: Names, account: str) -> str | None:
    """The state that jmap2nats would begin at; None: there is none."""
    try:
        entry = await (await nats.jetstream().key_value(names.cursor_bucket)).get(cursor_key(account))
    except NotFoundError:
        return None
    return (entry.value or b"").decode()


async def cursor_is_at_the_end(jmap: HttpJmap, nats: Client, names: Names) -> None:
    state = (await jmap.call("Email/get", ids=[]))["state"]
    found = await cursor(nats, names, jmap.account)
    assert found == state, f"the cursor is at {found}, the account at {state}"
