"""Whether every copy of the records is what the writes lead to: nothing lost, nothing twice, nothing made up.

Each write leaves a stamp that nobody else writes, so a copy tells which writes have happened. A write that was
answered stands at the state of its answer. One that was not answered may have happened, at one place: between
the last copy without its stamp and the first copy with it.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct

from cluster.history import Copy, History, Part, Seen, Write
from cluster.verdict import Violation

Group: TypeAlias = tuple[str, str]
# The types that clients write. The others follow from them: `db check` counts them anew.
WRITTEN = ("Email", "Mailbox")


class Deed(Struct, eq=False):
    """One part of a write; it happened after state ``lo`` and at ``hi`` at the latest. ``hi`` None: never seen."""

    write: Write
    part: Part
    lo: int = 0
    hi: int | None = None

    def was_before(self, other: "Deed") -> bool:
        """For sure."""
        return self.hi is not None and self.hi <= other.lo

    def is_applied(self, state: int) -> bool:
        """For sure, in a copy of this state."""
        return self.hi is not None and self.hi <= state

    def __str__(self) -> str:
        write = self.write
        return f"{self.part.verb} {self.part.stamp or 'unstamped'} by {write.client} over {write.node} ({write.outcome}, {write.old}-{write.new})"


class Timeline(Struct):
    """One record: what was done to it, and each copy with what the copy has of it, by state."""

    key: str
    deeds: list[Deed]
    sights: list[tuple[Copy, list[Seen]]]


def check_records(history: History) -> list[Violation]:
    """Of every copy, record by record."""
    found: list[Violation] = []
    for group, lines in timelines(history).items():
        place: dict[int, list[Deed]] = defaultdict(list)
        for line in lines:
            found += [
                Violation(violation.kind, f"{group[0]} {group[1]} {line.key}: {violation.text}")
                for check in (_presence, _stamps, _facts)
                for violation in check(line)
            ]
            for deed in line.deeds:
                place[id(deed.write)].append(deed)
        by_key = {line.key: line for line in lines}
        for deeds in place.values():
            found += _torn(deeds, by_key)
    return found


def timelines(history: History) -> dict[Group, list[Timeline]]:
    """Every record that somebody wrote or saw."""
    copies: dict[Group, list[Copy]] = defaultdict(list)
    deeds: dict[Group, dict[str, list[Deed]]] = defaultdict(lambda: defaultdict(list))
    for copy in history.copies:
        copies[copy.account, copy.type].append(copy)
    for write in history.writes:
        for part in write.parts:
            deeds[write.account, write.type][part.key].append(_deed(write, part))
    made: dict[Group, list[Timeline]] = {}
    for group in dict.fromkeys([*deeds, *(group for group in copies if group[1] in WRITTEN)]):
        of_group = deeds[group]
        ordered = sorted(copies[group], key=lambda copy: (copy.state, copy.began))
        content = [_by_key(copy) for copy in ordered]
        keys = dict.fromkeys([*of_group, *(key for records in content for key in records)])
        made[group] = []
        for key in keys:
            sights = [(copy, records.get(key, [])) for copy, records in zip(ordered, content, strict=True)]
            line = Timeline(key, of_group.get(key, []), sights)
            _place(line)
            made[group].append(line)
    return made


def _by_key(copy: Copy) -> dict[str, list[Seen]]:
    records: dict[str, list[Seen]] = defaultdict(list)
    for seen in copy.records:
        records[seen.key].append(seen)
    return dict(records)


def _deed(write: Write, part: Part) -> Deed:
    if write.outcome == "done" and write.new is not None:
        return Deed(write, part, write.new - 1, write.new)
    return Deed(write, part)


def _place(line: Timeline) -> None:
    """Find where the writes happened that gave no state."""
    for deed in line.deeds:
        if deed.hi is not None or deed.write.outcome == "refused" or deed.part.verb == "destroy":
            continue
        stamp = deed.part.stamp
        for copy, records in line.sights:
            if any(stamp in seen.stamps if stamp else True for seen in records):
                deed.hi = copy.state
                break
            deed.lo = copy.state


def _presence(line: Timeline) -> Iterator[Violation]:
    """Created once, there until it was destroyed, and never again."""
    was_there = was_gone = False
    for copy, records in line.sights:
        at = f"in {copy.client}'s copy of state {copy.state} over {copy.node}"
        if len(records) > 1:
            yield Violation("twice", f"{len(records)} of it {at}")
        if records:
            yield from _there(line, copy, at)
            if was_gone:
                yield Violation("twice", f"there again {at}, after it was gone")
            was_there = True
        elif was_there or _is_surely_created(line, copy):
            if not any(_may_be_destroyed(deed, copy) for deed in line.deeds):
                yield Violation("lost", f"not {at}; {'; '.join(map(str, line.deeds))}")
                return
            was_gone = True


def _there(line: Timeline, copy: Copy, at: str) -> Iterator[Violation]:
    creates = [deed for deed in line.deeds if deed.part.verb == "create" and deed.write.began < copy.ended]
    allowed = [deed for deed in creates if deed.write.outcome != "refused"]
    if not allowed:
        yield Violation("phantom", f"{at}, {'it was refused' if creates else 'and nobody created it'}")
    elif all(_is_early(deed, copy) for deed in allowed):
        yield Violation("early", f"{at}, created at {[deed.write.new for deed in allowed]}")
    for deed in line.deeds:
        if deed.part.verb == "destroy" and deed.is_applied(copy.state):
            yield Violation("lost", f"{at}, although: {deed}")


def _is_early(deed: Deed, copy: Copy) -> bool:
    return deed.write.outcome == "done" and deed.write.new is not None and deed.write.new > copy.state


def _is_surely_created(line: Timeline, copy: Copy) -> bool:
    creates = [deed for deed in line.deeds if deed.part.verb == "create" and deed.write.outcome == "done"]
    return any(
        deed.write.new <= copy.state if deed.write.new is not None else deed.write.ended < copy.began
        for deed in creates
    )


def _may_be_destroyed(deed: Deed, copy: Copy) -> bool:
    if deed.part.verb != "destroy" or deed.write.outcome == "refused" or deed.write.began > copy.ended:
        return False
    return deed.write.outcome == "unknown" or deed.is_applied(copy.state)


def _stamps(line: Timeline) -> Iterator[Violation]:
    """The stamps in each copy are those of the writes since the last one that replaced all."""
    writers = {deed.part.stamp: deed for deed in line.deeds if deed.part.stamp}
    gone: set[str] = set()
    before: frozenset[str] = frozenset()
    for copy, records in line.sights:
        if len(records) != 1:
            continue
        [seen] = records
        at = f"in {copy.client}'s copy of state {copy.state} over {copy.node}"
        gone |= before - seen.stamps
        for stamp in seen.stamps & gone:
            yield Violation("twice", f"{stamp} is there again {at}, after it was gone")
        gone -= seen.stamps
        before = seen.stamps
        for stamp in seen.stamps:
            yield from _written(writers.get(stamp), stamp, line, copy, at)
        for stamp in writers.keys() - seen.stamps:
            deed = writers[stamp]
            if (
                deed.part.verb != "destroy"
                and deed.is_applied(copy.state)
                and not _may_be_replaced(deed, line, copy)
            ):
                yield Violation("lost", f"{deed}: not {at}")


def _written(deed: Deed | None, stamp: str, line: Timeline, copy: Copy, at: str) -> Iterator[Violation]:
    if deed is None or deed.write.began > copy.ended:
        yield Violation("phantom", f"{stamp} {at}, and nobody wrote it")
    elif deed.write.outcome == "refused":
        yield Violation("phantom", f"{deed} {at}, and it was refused")
    elif _is_early(deed, copy):
        yield Violation("early", f"{deed} {at}")
    else:
        for other in line.deeds:
            if other.part.verb == "replace" and other.is_applied(copy.state) and deed.was_before(other):
                yield Violation("lost", f"{other}: did not replace {stamp} {at}")


def _may_be_replaced(deed: Deed, line: Timeline, copy: Copy) -> bool:
    return any(
        other is not deed
        and other.part.verb == "replace"
        and other.is_applied(copy.state)
        and not other.was_before(deed)
        for other in line.deeds
    )


def _facts(line: Timeline) -> Iterator[Violation]:
    """Each fact was given by the last of the writes that are there."""
    for copy, records in line.sights:
        if len(records) != 1:
            continue
        [seen] = records
        there = [
            deed
            for deed in line.deeds
            if deed.write.outcome != "refused"
            and (deed.part.stamp in seen.stamps or (deed.part.verb == "create" and not deed.part.stamp))
        ]
        for name, value in seen.facts.items():
            setting = [deed for deed in there if name in deed.part.facts]
            last = [deed for deed in setting if not any(_is_after(other, deed) for other in setting)]
            if last and value not in [deed.part.facts[name] for deed in last]:
                tell = "; ".join(f"{deed.part.facts[name]!r} by {deed}" for deed in last)
                yield Violation("wrong", f"{name} is {value!r} at state {copy.state}, should be {tell}")


def _is_after(deed: Deed, other: Deed) -> bool:
    """For sure. A record is created before anything else happens to it."""
    if deed is other:
        return False
    return (other.part.verb == "create" and deed.part.verb != "create") or other.was_before(deed)


def _torn(deeds: list[Deed], lines: dict[str, Timeline]) -> Iterator[Violation]:
    """Of a write that was not answered all parts are there, or none."""
    write = deeds[0].write
    if write.outcome != "unknown" or not write.is_whole or deeds[0].part.verb == "destroy":
        return
    seen = [deed for deed in deeds if deed.hi is not None]
    for deed in deeds:
        for witness in seen:
            if deed.hi is None and not _has_excuse(deed, witness, lines[deed.part.key]):
                yield Violation("torn", f"{witness} is there for {witness.part.key}, not for {deed.part.key}")
                return


def _has_excuse(deed: Deed, witness: Deed, line: Timeline) -> bool:
    """Whether another write may have hidden ``deed`` before the first copy that could have shown it."""
    for other in line.deeds:
        if other.part.verb == "destroy" and other.write.outcome != "refused":
            return True
        if other.part.verb == "replace" and other is not deed and (other.hi or 0) > witness.lo:
            return True
    return False
