"""The checker catches every class of violation, and has nothing to say of a history that is right."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from cluster.checker import check
from cluster.history import (
    Copy,
    Delta,
    Fenced,
    History,
    Look,
    Part,
    Seen,
    Splice,
    Told,
    Write,
)

A = "a"


def write(
    began: float, *parts: Part, old: int | None = None, new: int | None = None, outcome: str = "done", **more
):
    """A write that took one second."""
    return Write(A, "Email", "c1", "n1", began, began + 1, outcome, parts, old, new, **more)


def create(key: str, stamp: str = "", **facts) -> Part:
    return Part(key, "create", stamp, facts)


def add(key: str, stamp: str, **facts) -> Part:
    return Part(key, "add", stamp, facts)


def swap(key: str, stamp: str, **facts) -> Part:
    return Part(key, "replace", stamp, facts)


def destroy(key: str) -> Part:
    return Part(key, "destroy")


def seen(key: str, *stamps: str, **facts) -> Seen:
    return Seen(key, f"id-{key}", frozenset(stamps), facts)


def copy(began: float, state: int, *records: Seen, node: str = "n2") -> Copy:
    return Copy(A, "Email", "c2", node, began, began + 1, state, records)


def look(began: float, state: int) -> Look:
    return Look(A, "Email", "c3", "n3", began, began + 1, state)


def delta(since: int, created="", updated="", destroyed="", new: int = 9) -> Delta:
    ids = [tuple(f"id-{key}" for key in keys.split()) for keys in (created, updated, destroyed)]
    return Delta(A, "Email", since, *ids, new)


def fenced(holder: str, token: int, outcome: str, position: int | None = None, number: int | None = None):
    return Fenced("l", holder, token, number or position or 0, outcome, position)


def history(*events: Write | Copy | Look, **more) -> History:
    """The last copy is the final one."""
    writes = [event for event in events if isinstance(event, Write)]
    copies = [event for event in events if isinstance(event, Copy)]
    looks = [event for event in events if isinstance(event, Look)]
    final = {(A, "Email"): copies[-1]} if copies else {}
    return History(writes=writes, copies=copies, looks=looks, final=final, **more)


CREATED = write(0, create("x", "s1", seen=False), create("y", "s1", seen=False), old=0, new=2)
ADDED = write(2, add("x", "s2", seen=True), old=2, new=3)
SWAPPED = write(4, swap("x", "s3", seen=False), old=3, new=4)
DESTROYED = write(6, destroy("y"), old=4, new=5)
LOST_ADD = write(2, add("x", "s2", seen=True), add("y", "s2", seen=True), outcome="unknown")
DELIVERED = write(0, create("m"))
Y = seen("y", "s1", seen=False)
AT_2 = copy(1.5, 2, seen("x", "s1", seen=False), Y)
AT_3 = copy(3.5, 3, seen("x", "s1", "s2", seen=True), Y)
AT_4 = copy(5.5, 4, seen("x", "s3", seen=False), Y)
AT_5 = copy(7.5, 5, seen("x", "s3", seen=False))
NOTHING_AT_5 = copy(7.5, 5)
ALL = (CREATED, AT_2, ADDED, AT_3, SWAPPED, AT_4, DESTROYED, AT_5)

RIGHT: dict[str, Callable[[], History]] = {
    "everything answered": lambda: history(*ALL),
    "nothing at all": History,
    "an unanswered write that never happened": lambda: history(CREATED, LOST_ADD, AT_2),
    "an unanswered write that happened": lambda: history(
        CREATED, LOST_ADD, copy(5, 4, seen("x", "s1", "s2", seen=True), seen("y", "s1", "s2", seen=True))
    ),
    "an unanswered write that happened late": lambda: history(
        CREATED,
        LOST_ADD,
        copy(3.5, 2, seen("x", "s1", seen=False), Y),
        copy(9, 4, seen("x", "s1", "s2", seen=True), seen("y", "s1", "s2", seen=True)),
    ),
    "a part of an unanswered write that was replaced at once": lambda: history(
        CREATED,
        LOST_ADD,
        write(4, swap("y", "s3", seen=False), old=4, new=5),
        copy(9, 5, seen("x", "s1", "s2", seen=True), seen("y", "s3", seen=False)),
    ),
    "a part of an unanswered write that may have been refused": lambda: history(
        replace(CREATED, outcome="unknown", old=None, new=None, is_whole=False), copy(2, 1, Y)
    ),
    "an unanswered destroy that happened": lambda: history(
        CREATED, write(2, destroy("y"), outcome="unknown"), AT_2, copy(9, 3, seen("x", "s1", seen=False))
    ),
    "a delivery": lambda: history(DELIVERED, copy(1.5, 3, seen("m"))),
    "a delivery seen before its answer": lambda: history(copy(0.1, 3, seen("m")), DELIVERED),
    "a delivery after a copy was made": lambda: history(copy(0.5, 0), DELIVERED, copy(2, 3, seen("m"))),
    "a delivery that changed later": lambda: history(
        write(0, create("m", seen=False)),
        write(2, add("m", "s4", seen=True), old=3, new=4),
        copy(4, 4, seen("m", "s4", seen=True)),
    ),
    "a refused write": lambda: history(
        CREATED, write(2, add("x", "s9"), outcome="refused", if_in_state=1), AT_2
    ),
    "a condition that held": lambda: history(CREATED, replace(ADDED, if_in_state=2), AT_3),
    "reads side by side": lambda: history(look(0, 4), look(0.5, 3)),
    "a replay": lambda: history(
        *ALL, deltas=[delta(0, "x", new=5), delta(2, "", "x", "y", new=5), delta(5, new=5)]
    ),
    "a splice": lambda: history(
        splices=[Splice(A, "q", "1", ("a", "b", "c"), ("b",), ((2, "e"), (0, "d")), ("d", "a", "e", "c"))]
    ),
    "subscribers": lambda: history(
        NOTHING_AT_5,
        subscribers={"s": (A,), "other": ("b",)},
        told=[Told("s", A, "Email", 3, 1), Told("s", A, "Email", 5, 2)],
    ),
    "leases": lambda: History(
        fenced=[
            fenced("h1", 1, "done", 1),
            fenced("h2", 2, "done", 2),
            fenced("h1", 1, "refused"),
        ]
    ),
}

WRONG: dict[str, tuple[str, Callable[[], History]]] = {
    # 1: nothing acknowledged is lost
    "an answered creation is gone": ("lost", lambda: history(CREATED, copy(2, 2, seen("x", "s1", seen=False)))),
    "an answered update is gone": ("lost", lambda: history(CREATED, ADDED, copy(5, 3, *AT_2.records))),
    "an answered replacement is gone": ("lost", lambda: history(CREATED, ADDED, SWAPPED, copy(6, 4, *AT_3.records))),
    "an answered destroy is undone": ("lost", lambda: history(*ALL[:-1], copy(8, 5, *AT_4.records))),
    "an answered delivery is gone": ("lost", lambda: history(DELIVERED, copy(2, 3))),
    "what was seen is gone": (
        "lost",
        lambda: history(write(0, create("m"), outcome="unknown"), copy(2, 3, seen("m")), copy(4, 5)),
    ),
    "an answered write that moved no state": ("lost", lambda: history(CREATED, replace(ADDED, new=2))),
    # 2: nothing is done twice, and nothing is made up
    "a delivery is there twice": (
        "twice",
        lambda: history(DELIVERED, copy(2, 3, seen("m"), Seen("m", "another"))),
    ),
    "an unanswered creation is there twice": (
        "twice",
        lambda: history(
            write(0, create("m"), outcome="unknown"), copy(2, 3, seen("m"), Seen("m", "another"))
        ),
    ),
    "a destroyed record is back": (
        "twice",
        lambda: history(
            CREATED,
            write(2, destroy("y"), outcome="unknown"),
            copy(4, 3, seen("x", "s1", seen=False)),
            copy(6, 4, seen("x", "s1", seen=False), Y),
        ),
    ),
    "an unanswered update is done again after it was replaced": (
        "twice",
        lambda: history(
            CREATED,
            write(2, add("x", "s2"), outcome="unknown"),
            copy(3.5, 3, seen("x", "s1", "s2", seen=False), Y),
            SWAPPED,
            AT_4,
            copy(9, 6, seen("x", "s2", "s3", seen=False), Y),
        ),
    ),
    "nobody wrote it": ("phantom", lambda: history(copy(0, 1, seen("z")))),
    "a refused creation": (
        "phantom",
        lambda: history(write(0, create("z"), outcome="refused"), copy(2, 1, seen("z"))),
    ),
    "a refused update": (
        "phantom",
        lambda: history(
            CREATED,
            write(2, add("x", "s9"), outcome="refused"),
            copy(4, 3, seen("x", "s1", "s9", seen=False), Y),
        ),
    ),
    "a stamp of nobody": ("phantom", lambda: history(CREATED, copy(2, 3, seen("x", "s1", "s9", seen=False), Y))),
    "a write seen at an older state": (
        "early",
        lambda: history(CREATED, AT_2, ADDED, copy(5, 2, *AT_3.records)),
    ),
    "a creation seen at an older state": ("early", lambda: history(CREATED, copy(0, 1, *AT_2.records))),
    "a fact that an older write gave": (
        "wrong",
        lambda: history(CREATED, ADDED, copy(5, 3, seen("x", "s1", "s2", seen=False), Y)),
    ),
    "half of an unanswered write": (
        "torn",
        lambda: history(CREATED, LOST_ADD, copy(5, 3, seen("x", "s1", "s2", seen=True), Y)),
    ),
    "half of an unanswered creation": (
        "torn",
        lambda: history(replace(CREATED, outcome="unknown", old=None, new=None), copy(2, 1, Y)),
    ),
    # 6: states
    "two writes between the same states": (
        "overlap",
        lambda: history(CREATED, write(0, create("z", "s5"), old=0, new=1)),
    ),
    "a state that is given out twice": (
        "overlap",
        lambda: history(CREATED, ADDED, write(3, add("y", "s5"), old=2, new=3)),
    ),
    "a condition that did not hold": ("condition", lambda: history(CREATED, replace(ADDED, if_in_state=1))),
    "a read that is behind a write": ("back", lambda: history(CREATED, look(1.5, 1))),
    "a read that is behind another read": ("back", lambda: history(look(0, 4), look(2, 3))),
    "a write on an old state": ("back", lambda: history(look(0, 4), write(2, add("x", "s2"), old=3, new=5))),
    "a read that is behind what push told": (
        "back",
        lambda: history(look(2, 3), told=[Told("s", A, "Email", 4, 1)]),
    ),
    "two contents of one state": (
        "split",
        lambda: history(CREATED, AT_2, copy(1.6, 2, seen("x", "s1", seen=True), Y, node="n3")),
    ),
    # 3: changes
    "changes that forget an update": ("replay", lambda: history(*ALL, deltas=[delta(2, "", "", "y", new=5)])),
    "changes that forget a creation": ("replay", lambda: history(*ALL, deltas=[delta(0, new=5)])),
    "changes that forget a destroy": ("replay", lambda: history(*ALL, deltas=[delta(4, new=5)])),
    "changes that tell of what is not there": (
        "replay",
        lambda: history(*ALL, deltas=[delta(1, "x y", new=5)]),
    ),
    "changes that tell a creation twice": ("replay", lambda: history(*ALL, deltas=[delta(1, "x x", new=5)])),
    "changes that destroy what is there": ("replay", lambda: history(*ALL, deltas=[delta(4, "", "", "y x", new=5)])),
    "changes that lead elsewhere": ("replay", lambda: history(*ALL, deltas=[delta(5, new=4)])),
    "changes that create what was there": ("replay", lambda: history(*ALL, deltas=[delta(2, "x", "", "y", new=5)])),
    "a splice that forgets one": ("splice", lambda: history(splices=[Splice(A, "q", "1", ("a",), (), (), ("a", "b"))])),
    # 5: push
    "a subscriber that was not told": (
        "stale",
        lambda: history(NOTHING_AT_5, subscribers={"s": (A,)}, told=[Told("s", A, "Email", 4, 1)]),
    ),
    "a subscriber that was told nothing": ("stale", lambda: history(NOTHING_AT_5, subscribers={"s": (A,)})),
    "push that goes back": (
        "back",
        lambda: history(told=[Told("s", A, "Email", 4, 1), Told("s", A, "Email", 3, 2)]),
    ),
    "push of a state that never was": ("phantom", lambda: history(NOTHING_AT_5, told=[Told("s", A, "Email", 6, 1)])),
    # 7: leases
    "a holder of old writes late": (
        "fence",
        lambda: History(
            fenced=[fenced("h1", 1, "done", 1), fenced("h2", 2, "done", 2), fenced("h1", 1, "done", 3)]
        ),
    ),
    "an answered write under a lease is gone": (
        "lost",
        lambda: History(fenced=[fenced("h1", 1, "done", number=1)]),
    ),
    "a write under a lease that was refused": (
        "phantom",
        lambda: History(fenced=[fenced("h1", 1, "refused", 1)]),
    ),
    "a write under a lease is there twice": (
        "twice",
        lambda: History(fenced=[fenced("h1", 1, "done", 1, 7), fenced("h1", 1, "done", 2, 7)]),
    ),
    "two holders of one token": (
        "fence",
        lambda: History(fenced=[fenced("h1", 1, "done", 1), fenced("h2", 1, "done", 2)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_history_that_is_right_is_no_violation(name: str) -> None:
    assert [str(violation) for violation in check(RIGHT[name]())] == []


@pytest.mark.parametrize("name", WRONG)
def test_a_violation_is_caught_and_called_by_its_kind(name: str) -> None:
    kind, make = WRONG[name]
    found = check(make())
    assert kind in {violation.kind for violation in found}, [str(violation) for violation in found]
