"""Judges a history: pure functions of what was recorded. Each rule is told in docs/faults.md."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import groupby, pairwise

from cluster.history import Copy, Delta, History, Splice, Write
from cluster.records import Group, check_records
from cluster.verdict import Violation


def check(history: History) -> list[Violation]:
    """Everything that must not be; empty when all is well."""
    found = check_records(history)
    for rule in (_order, _conditions, _reads, _answers, _deltas, _splices, _push, _subscribers, _fences):
        found += rule(history)
    return found


# -------------------------------------------------------------- states


def _order(history: History) -> Iterator[Violation]:
    """Each write moved the state alone: what one has made of it, the next has found or later."""
    for group, writes in _writes(history).items():
        told = sorted(
            (write for write in writes if write.new is not None and write.old is not None),
            key=lambda write: (write.new or 0, write.old or 0),
        )
        for write in told:
            assert write.old is not None
            assert write.new is not None
            if write.parts and write.new <= write.old:
                yield Violation("lost", f"{_name(group)}: {_write(write)} is done, and the state is the same")
        for first, second in pairwise(told):
            assert first.new is not None
            assert second.old is not None
            if second.old < first.new:
                yield Violation("overlap", f"{_name(group)}: {_write(first)} and {_write(second)}")


def _conditions(history: History) -> Iterator[Violation]:
    """What was to be done at one state alone was done at that one."""
    for write in history.writes:
        if write.outcome == "done" and write.if_in_state not in (None, write.old):
            yield Violation("condition", f"{_write(write)}, ifInState {write.if_in_state}")


def _reads(history: History) -> Iterator[Violation]:
    """Whoever asks after a state was known, over whichever node, is told that state or a later one."""
    asked: dict[Group, list[tuple[float, int, str]]] = defaultdict(list)
    known: dict[Group, list[tuple[float, int, str]]] = defaultdict(list)
    for write in history.writes:
        if write.old is not None and write.new is not None:
            asked[write.account, write.type].append((write.began, write.old, _write(write)))
            known[write.account, write.type].append((write.ended, write.new, _write(write)))
    for look in (*history.copies, *history.looks):
        text = f"{look.client} over {look.node} at {look.began:.3f}-{look.ended:.3f} was told {look.state}"
        asked[look.account, look.type].append((look.began, look.state, text))
        known[look.account, look.type].append((look.ended, look.state, text))
    for told in history.told:
        text = f"{told.subscriber} was told {told.state} at {told.at:.3f}"
        known[told.account, told.type].append((told.at, told.state, text))
    for group, questions in asked.items():
        ends = sorted(known[group])
        newest, text, place = -1, "", 0
        for began, state, question in sorted(questions):
            while place < len(ends) and ends[place][0] < began:
                if ends[place][1] > newest:
                    newest, text = ends[place][1], ends[place][2]
                place += 1
            if state < newest:
                yield Violation("back", f"{_name(group)}: {question}, after {text}")


def _answers(history: History) -> Iterator[Violation]:
    """A state is one content, whoever asks."""
    ordered = sorted(history.copies, key=lambda copy: (copy.account, copy.type, copy.state))
    for (account, type, state), copies in groupby(
        ordered, key=lambda copy: (copy.account, copy.type, copy.state)
    ):
        first, *others = copies
        for other in others:
            if _content(other) != _content(first):
                yield Violation(
                    "split",
                    f"{account} {type}: state {state} over {first.node} and {other.node}: {_difference(first, other)}",
                )


# -------------------------------------------------------------- changes


def _deltas(history: History) -> Iterator[Violation]:
    copies = {(copy.account, copy.type, copy.state): copy for copy in history.copies}
    for delta in history.deltas:
        final = history.final[delta.account, delta.type]
        at = f"{delta.account} {delta.type} from {delta.since}"
        for text in (
            *_delta_alone(delta, final),
            *_replayed(delta, copies.get((delta.account, delta.type, delta.since)), final),
            *_unmentioned(delta, history, final),
        ):
            yield Violation("replay", f"{at}: {text}")


def _delta_alone(delta: Delta, final: Copy) -> Iterator[str]:
    """What can be said without knowing what was there."""
    now = {seen.id for seen in final.records}
    if delta.new != final.state:
        yield f"leads to {delta.new}, not to {final.state}"
    if gone := {*delta.created, *delta.updated} - now - set(delta.destroyed):
        yield f"tells of {sorted(gone)}, which are not there"
    if there := set(delta.destroyed) & now:
        yield f"tells that {sorted(there)} are destroyed, and they are there"
    for name, ids in (("created", delta.created), ("destroyed", delta.destroyed)):
        if len(set(ids)) != len(ids):
            yield f"tells twice of the same in {name}"


def _replayed(delta: Delta, past: Copy | None, final: Copy) -> Iterator[str]:
    if past is None:
        return
    before, now = _content(past), _content(final)
    ids = (before.keys() | set(delta.created)) - set(delta.destroyed)
    if ids != now.keys():
        yield f"lacks {sorted(now.keys() - ids)}, and has {sorted(ids - now.keys())} too many"
    if again := before.keys() & set(delta.created):
        yield f"tells that {sorted(again)} are created, and they were there"
    told = {*delta.created, *delta.updated}
    for id in before.keys() & now.keys() - told:
        if before[id] != now[id]:
            yield f"does not tell of {id}, which was {before[id]} and is {now[id]}"


def _unmentioned(delta: Delta, history: History, final: Copy) -> Iterator[str]:
    """Each write after that state is told of, if its record is still there."""
    ids = {seen.key: seen.id for seen in final.records}
    told = {*delta.created, *delta.updated}
    for write in history.writes:
        if (write.account, write.type, write.outcome) != (delta.account, delta.type, "done"):
            continue
        if write.new is not None and write.new > delta.since:
            for part in write.parts:
                if part.key in ids and ids[part.key] not in told:
                    yield f"does not tell of {part.key}, written by {_write(write)}"


def _splices(history: History) -> Iterator[Violation]:
    """RFC 8620 §5.6: take away, then put in, lowest index first."""
    for splice in history.splices:
        if (ids := _spliced(splice)) != list(splice.after):
            yield Violation(
                "splice",
                f"{splice.account} {splice.query} from {splice.since}: {ids}, /query: {list(splice.after)}",
            )


def _spliced(splice: Splice) -> list[str]:
    ids = [id for id in splice.before if id not in set(splice.removed)]
    for index, id in sorted(splice.added):
        ids.insert(index, id)
    return ids


# -------------------------------------------------------------- push


def _push(history: History) -> Iterator[Violation]:
    """No subscriber is told an older state after a newer one, nor one that never was."""
    newest: dict[tuple[str, str, str], int] = {}
    for told in sorted(history.told, key=lambda told: told.at):
        key = (told.subscriber, told.account, told.type)
        if told.state < newest.get(key, 0):
            yield Violation("back", f"{key}: told {told.state} after {newest[key]}")
        newest[key] = max(told.state, newest.get(key, 0))
        final = history.final.get((told.account, told.type))
        if final is not None and told.state > final.state:
            yield Violation("phantom", f"{key}: told {told.state}, the last state is {final.state}")


def _subscribers(history: History) -> Iterator[Violation]:
    newest: dict[tuple[str, str, str], int] = {}
    for told in history.told:
        key = (told.subscriber, told.account, told.type)
        newest[key] = max(told.state, newest.get(key, 0))
    for subscriber, accounts in history.subscribers.items():
        for (account, type), final in history.final.items():
            told_last = newest.get((subscriber, account, type))
            if account in accounts and told_last != final.state:
                yield Violation(
                    "stale", f"{subscriber} knows {told_last} of {account} {type}, which is {final.state}"
                )


# -------------------------------------------------------------- leases


def _fences(history: History) -> Iterator[Violation]:
    """In the order of the store the tokens rise, and a token has one holder."""
    holders: dict[tuple[str, int], str] = {}
    newest: dict[str, int] = {}
    written = [event for event in history.fenced if event.position is not None]
    for event in sorted(written, key=lambda event: event.position or 0):
        what = f"{event.lease}: write {event.number} of {event.holder} with token {event.token}"
        if holders.setdefault((event.lease, event.token), event.holder) != event.holder:
            yield Violation("fence", f"{what}, which {holders[event.lease, event.token]} has")
        if event.token < newest.get(event.lease, 0):
            yield Violation("fence", f"{what} at {event.position}, after token {newest[event.lease]}")
        newest[event.lease] = max(event.token, newest.get(event.lease, 0))
        if event.outcome == "refused":
            yield Violation("phantom", f"{what} is there, and it was refused")
    for event in history.fenced:
        if event.outcome == "done" and event.position is None:
            yield Violation("lost", f"{event.lease}: write {event.number} of {event.holder} is not there")
    places = [(event.lease, event.holder, event.number) for event in written]
    for again, count in Counter(places).items():
        if count > 1:
            yield Violation("twice", f"{again} is there {count} times")


# -------------------------------------------------------------- words


def _writes(history: History) -> dict[Group, list[Write]]:
    groups: dict[Group, list[Write]] = defaultdict(list)
    for write in history.writes:
        if write.outcome == "done":
            groups[write.account, write.type].append(write)
    return groups


def _content(copy: Copy) -> dict[str, tuple[frozenset[str], dict[str, object]]]:
    return {seen.id: (seen.stamps, dict(seen.facts)) for seen in copy.records}


def _difference(first: Copy, second: Copy) -> str:
    one, two = _content(first), _content(second)
    ids = [id for id in one.keys() | two.keys() if one.get(id) != two.get(id)]
    return ", ".join(f"{id}: {one.get(id)} or {two.get(id)}" for id in ids[:3])


def _name(group: Group) -> str:
    return " ".join(group)


def _write(write: Write) -> str:
    keys = ",".join(f"{part.verb} {part.key} {part.stamp}".strip() for part in write.parts)
    return f"{write.client} over {write.node} at {write.began:.3f}-{write.ended:.3f} ({write.old}-{write.new}: {keys})"
