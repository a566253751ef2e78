"""To which Thread an Email belongs (RFC 8621 §3).

Two Emails are in one Thread if they have a Message-ID in common among their Message-ID, In-Reply-To
and References, and the same base subject; and so are those that are connected through others. The
rule says nothing of the order of arrival, so a message may join what were two Threads: then the
Emails of the smaller get new ids in the larger, since a threadId is immutable (§3).
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable

from veredus.conditions import Eq, HasAny
from veredus.formats.subject import base_subject
from veredus.mail.settle import Moved
from veredus.ports import Transaction
from veredus.schema import Changed
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject

# A message with more references than this is joined by its first and last ones.
MAX_REFERENCES = 100

# Gives the normalized full text of a stored Email again.
Reindex = Callable[[JsonObject], Awaitable[dict[str, str]]]


def thread_keys(email: JsonObject) -> list[str]:
    """What Emails of one thread have in common: message ids, each hashed with the base subject."""
    ids: list[str] = []
    for name in ("messageId", "inReplyTo", "references"):
        ids.extend(email.get(name) or ())
    if len(ids) > MAX_REFERENCES:
        ids = ids[: MAX_REFERENCES // 2] + ids[-MAX_REFERENCES // 2 :]
    subject = base_subject(email.get("subject") or "").casefold()
    return sorted({_key(id, subject) for id in ids})


def _key(message_id: str, subject: str) -> str:
    text = f"{message_id}\n{subject}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).hexdigest()


async def assign_thread(tx: Transaction, email: JsonObject) -> None:
    """Set ``threadId`` of an Email about to be put; ``merge_threads`` follows when it has been."""
    threads = await _threads_of(tx, email["threadKeys"])
    if len(threads) == 1:
        email["threadId"] = threads[0]
    else:
        email["threadId"] = await _larger(tx, threads) if threads else new_id("t")


async def merge_threads(tx: Transaction, email: JsonObject, reindex: Reindex) -> list[Changed]:
    """Join the Threads that an Email just put connects, in the largest; returns what changed."""
    if len(email["threadKeys"]) < 2:
        # All that have one key in common are in one Thread already.
        return []
    threads = await _threads_of(tx, email["threadKeys"])
    if len(threads) <= 1:
        return []
    kept = await _larger(tx, threads)
    moving = [
        id for thread in threads if thread != kept for id in await tx.select("Email", Eq("threadId", thread))
    ]
    changed: list[Changed] = []
    for old in await tx.get("Email", moving):
        new = {**old, "id": new_id("e"), "threadId": kept}
        await tx.delete("Email", old["id"])
        await tx.put("Email", new, await reindex(old))
        changed += [Moved(old, None), Moved(None, new)]
    return changed


async def _larger(tx: Transaction, threads: list[Id]) -> Id:
    """The thread of most Emails, the oldest among equals."""
    sizes = {thread: await tx.count("Email", Eq("threadId", thread)) for thread in threads}
    return min(threads, key=lambda thread: (-sizes[thread], thread))


async def _threads_of(tx: Transaction, keys: Iterable[str]) -> list[Id]:
    keys = tuple(keys)
    if not keys:
        return []
    ids = await tx.select("Email", HasAny("threadKeys", keys), distinct="threadId")
    return [record["threadId"] for record in await tx.get("Email", ids, {"threadId"})]
