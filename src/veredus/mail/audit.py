"""Counting anew what is kept by differences: Mailbox counters, Threads, Quotas. For `veredus db check`.

Deliberately shares nothing with ``settle``, whose work it checks.
"""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable

from msgspec import Struct

from veredus.mail.mailbox_shape import COUNTERS
from veredus.ports import Snapshot
from veredus.wire.types import Id

_PAGE = 500
_NEEDS = frozenset({"mailboxIds", "keywords", "threadId", "size"})


class _Seen(Struct, frozen=True):
    """What counts of an Email."""

    id: Id
    mailboxes: frozenset[Id]
    is_unread: bool


async def audit(snapshot: Snapshot) -> AsyncIterator[str]:
    """Every number and list of the account that does not agree with its Emails, a line each."""
    threads: dict[Id, list[_Seen]] = defaultdict(list)
    octets = messages = 0
    ids = await snapshot.select("Email")
    for start in range(0, len(ids), _PAGE):
        for email in await snapshot.get("Email", ids[start : start + _PAGE], _NEEDS):
            is_unread = not {"$seen", "$draft"} & email["keywords"].keys()
            seen = _Seen(email["id"], frozenset(email["mailboxIds"]), is_unread)
            threads[email["threadId"]].append(seen)
            octets += email["size"]
            messages += 1
    async for problem in _mailboxes(snapshot, threads):
        yield problem
    async for problem in _threads(snapshot, threads):
        yield problem
    for quota in await snapshot.get("Quota", None):
        used = {"octets": octets, "count": messages}.get(quota["id"])
        if used is not None and quota["used"] != used and quota["dataTypes"] == ["Email"]:
            yield f"Quota {quota['id']}: used is {quota['used']}, the Emails take {used}"


async def _mailboxes(snapshot: Snapshot, threads: dict[Id, list[_Seen]]) -> AsyncIterator[str]:
    mailboxes = {box["id"]: box for box in await snapshot.get("Mailbox", None)}
    trash = next((id for id, box in mailboxes.items() if box["role"] == "trash"), None)
    counted: dict[Id, Counter[str]] = defaultdict(Counter)
    for emails in threads.values():
        for email in emails:
            for id in email.mailboxes:
                counted[id]["totalEmails"] += 1
                counted[id]["unreadEmails"] += email.is_unread
        for id in _union(emails):
            counted[id]["totalThreads"] += 1
        for id in _shown_unread(emails, trash):
            counted[id]["unreadThreads"] += 1
    for id in counted.keys() - mailboxes.keys():
        yield f"Mailbox {id}: {counted[id]['totalEmails']} Emails are in it, but there is no such Mailbox"
    for id, box in mailboxes.items():
        for name in COUNTERS:
            if box[name] != counted[id][name]:
                yield f"Mailbox {id}: {name} is {box[name]}, counted {counted[id][name]}"


def _union(emails: Iterable[_Seen]) -> frozenset[Id]:
    return frozenset().union(*(email.mailboxes for email in emails))


def _shown_unread(emails: list[_Seen], trash: Id | None) -> set[Id]:
    """RFC 8621 §2, unreadThreads: what is only in the trash does not count elsewhere, nor the reverse."""
    bin = frozenset({trash} - {None})
    shown: set[Id] = set()
    if any(email.is_unread and email.mailboxes != bin for email in emails):
        shown |= _union(emails) - bin
    if trash is not None and any(email.is_unread and trash in email.mailboxes for email in emails):
        shown.add(trash)
    return shown


async def _threads(snapshot: Snapshot, threads: dict[Id, list[_Seen]]) -> AsyncIterator[str]:
    stored = {thread["id"]: thread["emailIds"] for thread in await snapshot.get("Thread", None)}
    for id in threads.keys() - stored.keys():
        yield f"Thread {id}: {len(threads[id])} Emails belong to it, but there is no such Thread"
    for id, emails in stored.items():
        expected = {email.id for email in threads.get(id, ())}
        if len(emails) != len(expected) or set(emails) != expected:
            yield f"Thread {id}: lists {len(emails)} Emails, {len(expected)} belong to it, or others"
