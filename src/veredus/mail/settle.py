"""What follows from changed Emails, in the same transaction: Threads, counters of Mailboxes, quota.

Counters are kept by differences: of the Emails that changed, and of the Threads they are in, before
and after. So a change costs what it touches, however much mail there is (RFC 8621 §2).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import TypeAlias

from msgspec import Struct

from veredus.conditions import Eq, HasAny, In
from veredus.mail.mailbox_shape import COUNTERS
from veredus.ports import Transaction
from veredus.schema import Changed
from veredus.wire.types import Id, JsonObject

# ``charge(tx, type, count, octets)`` books what an account uses; raises SetError overQuota (RFC 9425).
Charge: TypeAlias = Callable[[Transaction, str, int, int], Awaitable[None]]


class Moved(Changed, frozen=True):
    """An Email that got another id: neither more nor less of the quota is used."""


class Trash(Struct, frozen=True):
    """The mailbox with the role "trash", before and after what is to be settled."""

    was: Id | None
    now: Id | None


# The properties of an Email that this module reads.
NEEDS = frozenset({"mailboxIds", "keywords", "threadId", "size"})


class _Facts(Struct, frozen=True):
    """What counts of an Email."""

    thread: Id
    mailboxes: frozenset[Id]
    unread: bool


def _facts(email: JsonObject) -> _Facts:
    keywords = email["keywords"]
    unread = "$seen" not in keywords and "$draft" not in keywords
    return _Facts(email["threadId"], frozenset(email["mailboxIds"]), unread)


async def settle(
    tx: Transaction, changed: Sequence[Changed], charge: Charge, trash: Trash | None = None
) -> None:
    """Bring everything that is derived from Emails in line with ``changed``.

    What creations use is charged before they are put, where they can still be refused; here only
    what destroyed Emails leave free is given back. ``trash``: given if another mailbox became it.
    """
    await _give_back(tx, changed, charge)
    before, after = _net(changed)
    ids = [id for id in {**before, **after} if before.get(id) != after.get(id)]
    concerned = _threads_in(before, after, ids)
    if trash is not None:
        concerned |= await _threads_of_mailboxes(tx, [id for id in (trash.was, trash.now) if id is not None])
    if not concerned:
        return
    threads = await _threads(tx, concerned)
    grown = [id for id in ids if (id in before) != (id in after)]
    for thread in _threads_in(before, after, grown):
        await _store_thread(tx, thread, threads.get(thread, {}))
    if trash is None:
        id = next(iter(await tx.select("Mailbox", Eq("role", "trash"))), None)
        trash = Trash(id, id)
    deltas = _deltas(ids, before, after)
    for thread in concerned:
        now = threads.get(thread, {})
        then = {id: facts for id, facts in now.items() if id not in after or before.get(id) == facts}
        then.update({id: before[id] for id in ids if id in before and before[id].thread == thread})
        _add_thread(deltas, then.values(), trash.was, -1)
        _add_thread(deltas, now.values(), trash.now, 1)
    await _store_counters(tx, deltas)


async def _give_back(tx: Transaction, changed: Iterable[Changed], charge: Charge) -> None:
    """Also what the same call has created: that was charged, although nothing else will show it."""
    gone = [
        change.old
        for change in changed
        if change.old and change.new is None and not isinstance(change, Moved)
    ]
    if gone:
        await charge(tx, "Email", -len(gone), -sum(email["size"] for email in gone))


def _net(changed: Iterable[Changed]) -> tuple[dict[Id, _Facts], dict[Id, _Facts]]:
    """Each Email before the first and after the last of its changes."""
    before: dict[Id, _Facts] = {}
    after: dict[Id, _Facts] = {}
    seen: set[Id] = set()
    for change in changed:
        record = change.old or change.new or {}
        id = record["id"]
        if change.old is not None and id not in seen:
            before[id] = _facts(change.old)
        seen.add(id)
        after.pop(id, None)
        if change.new is not None:
            after[id] = _facts(change.new)
    return before, after


def _threads_in(before: dict[Id, _Facts], after: dict[Id, _Facts], ids: Iterable[Id]) -> set[Id]:
    return {facts.thread for id in ids for facts in (before.get(id), after.get(id)) if facts}


async def _threads(tx: Transaction, threads: set[Id]) -> dict[Id, dict[Id, _Facts]]:
    """The Emails of each thread as they are now, oldest first."""
    if len(threads) == 1:
        ids = await tx.select("Email", Eq("threadId", next(iter(threads))))
    else:
        ids = await tx.select("Email", In("threadId", tuple(threads)))
    found: dict[Id, dict[Id, _Facts]] = {}
    for email in await tx.get("Email", ids, NEEDS):
        found.setdefault(email["threadId"], {})[email["id"]] = _facts(email)
    return found


async def _threads_of_mailboxes(tx: Transaction, mailboxes: Sequence[Id]) -> set[Id]:
    ids = await tx.select("Email", HasAny("mailboxIds", tuple(mailboxes)), distinct="threadId")
    return {email["threadId"] for email in await tx.get("Email", ids, {"threadId"})}


async def _store_thread(tx: Transaction, thread: Id, emails: dict[Id, _Facts]) -> None:
    exists = len(emails) != 1 or bool(await tx.get("Thread", [thread], frozenset()))
    if emails and exists:
        try:
            await tx.update("Thread", thread, {"emailIds": list(emails)})
        except KeyError:  # all of its Emails are new
            await tx.put("Thread", {"id": thread, "emailIds": list(emails)})
    elif emails:
        await tx.put("Thread", {"id": thread, "emailIds": list(emails)})
    elif await tx.get("Thread", [thread], frozenset()):
        await tx.delete("Thread", thread)


# What is to be added to the counters of each mailbox.
_Deltas: TypeAlias = dict[Id, Counter[str]]


def _add(deltas: _Deltas, mailboxes: Iterable[Id], name: str, sign: int) -> None:
    for mailbox in mailboxes:
        deltas.setdefault(mailbox, Counter())[name] += sign


def _deltas(ids: Sequence[Id], before: dict[Id, _Facts], after: dict[Id, _Facts]) -> _Deltas:
    """What the Emails alone add."""
    deltas: _Deltas = {}
    for id in ids:
        for facts, sign in ((before.get(id), -1), (after.get(id), 1)):
            if facts is not None:
                _add(deltas, facts.mailboxes, "totalEmails", sign)
                if facts.unread:
                    _add(deltas, facts.mailboxes, "unreadEmails", sign)
    return deltas


def _add_thread(deltas: _Deltas, emails: Collection[_Facts], trash: Id | None, sign: int) -> None:
    _add(deltas, {mailbox for facts in emails for mailbox in facts.mailboxes}, "totalThreads", sign)
    _add(deltas, unread_mailboxes(emails, trash), "unreadThreads", sign)


async def _store_counters(tx: Transaction, deltas: _Deltas) -> None:
    changed = {mailbox: delta for mailbox, delta in deltas.items() if any(delta.values())}
    for mailbox in await tx.get("Mailbox", list(changed), frozenset(COUNTERS)):
        delta = changed[mailbox["id"]]
        new = {name: mailbox[name] + delta[name] for name in COUNTERS if delta[name]}
        await tx.update("Mailbox", mailbox["id"], new)


def unread_mailboxes(emails: Iterable[_Facts], trash: Id | None) -> set[Id]:
    """The mailboxes in which a thread of these Emails shows as unread (§2 unreadThreads).

    Emails that are only in the trash do not count elsewhere, those not in the trash do not count there.
    """
    found: set[Id] = set()
    elsewhere: set[Id] = set()
    unread = False
    for facts in emails:
        in_trash = trash is not None and trash in facts.mailboxes
        if in_trash and facts.unread and trash is not None:
            found.add(trash)
        if not in_trash or len(facts.mailboxes) > 1:
            unread = unread or facts.unread
        elsewhere |= facts.mailboxes - {trash}
    return found | elsewhere if unread else found
