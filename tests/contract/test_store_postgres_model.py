"""Random transactions, read after every step, against the memory store: it defers no write."""

import asyncio
import copy
import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contract.stores import NEWEST, TABLES, FakeClock, message, opened
from veredus.conditions import (
    All,
    Contains,
    Eq,
    Has,
    HasAny,
    HasOther,
    Not,
    Order,
    Range,
    Same,
    Text,
)
from veredus.ports import Snapshot, Store, Transaction
from veredus.store.memory import MemoryStore

IDS = ["a", "b", "c"]
KEYS = ["k0", "k1", "k" * 1500]
TYPES = ["Message", "Box", "Cache"]
CONDITIONS = [
    All(),
    Eq("size", 1),
    Eq("note", "k0"),
    Has("tags", "k0"),
    HasAny("boxIds", ("k1", KEYS[2])),
    HasOther("tags", ("k0",)),
    Not(Has("boxIds", "k0")),
    Range("size", 1, 3),
    Same("threadId", Has("tags", "k1")),
    Same("threadId", Contains("note", "K0")),
    Contains("subject", "k0"),
    Text(("subject", "body"), (("k0",),)),
    Text(("subject",), (("some", "k1"),)),
]
ORDERS: list[tuple[Order, ...]] = [
    (),
    NEWEST,
    (Order("size"),),
    (Order("threadId", False), Order("note")),
    (Order(Has("tags", "k0")),),
    (Order(Same("threadId", Has("boxIds", "k1")), False),),
]
WORDS = [None, {}, {"subject": "some k0"}, {"subject": "k1", "body": "some k1 k0"}]

ids = st.sampled_from(IDS)
types = st.sampled_from(TYPES)
keys = st.lists(st.sampled_from(KEYS), max_size=2, unique=True).map(lambda found: dict.fromkeys(found, True))
properties = st.fixed_dictionaries(
    {},
    optional={
        "threadId": st.sampled_from([None, "t", "u"]),
        "size": st.integers(0, 3),
        "tags": keys,
        "boxIds": keys,
        "note": st.sampled_from([None, "k0", "k1", "n" * 100_000]),
        "headers": st.sampled_from([[], [{"name": "k0"}]]),
        "subject": st.sampled_from(["k0", "s" * 3000]),
        "blobId": st.sampled_from([None, "B0", "B1"]),
        "name": st.sampled_from(["k0", "x" * 3000, 1, True]),
    },
)
writes = st.one_of(
    st.tuples(st.just("put"), types, ids, properties, st.sampled_from(WORDS)),
    st.tuples(st.just("update"), types, ids, properties),
    st.tuples(st.just("update"), st.just("Message"), ids, properties),
    st.tuples(st.just("delete"), types, ids),
)
reads = st.one_of(
    st.tuples(
        st.just("get"), types, st.one_of(st.none(), st.lists(ids)), st.sampled_from([None, "note", "origin"])
    ),
    st.tuples(st.just("project"), types, st.lists(ids), st.sampled_from(["tags", "headers", "subject"])),
    st.tuples(
        st.just("select"),
        st.just("Message"),
        st.sampled_from(CONDITIONS),
        st.sampled_from(ORDERS),
        st.sampled_from([None, 1, 2]),
        st.sampled_from([None, "threadId", "size"]),
    ),
    st.tuples(
        st.just("count"), st.just("Message"), st.sampled_from(CONDITIONS), st.sampled_from([None, "note"])
    ),
    st.tuples(st.just("all"), types),
    st.tuples(st.just("owns"), st.just(["B0", "B1", "Ba"])),
    st.tuples(st.just("changed"), types),
)
transactions = st.lists(
    st.tuples(st.lists(st.one_of(writes, reads), max_size=10), st.booleans()), min_size=1, max_size=4
)


def record(type: str, id: str, properties: Any) -> dict[str, Any]:
    return message(id, IDS.index(id), **properties) if type == "Message" else {"id": id} | properties


async def write(tx: Transaction, step: tuple[Any, ...]) -> object:
    """Whether it could be done."""
    kind, type, id, *rest = step
    given: dict[str, Any]
    try:
        match kind:
            case "put":
                given = copy.deepcopy(record(type, id, rest[0]))
                await tx.put(type, given, rest[1])
            case "update":
                given = copy.deepcopy(rest[0])
                await tx.update(type, id, given)
            case _:
                given = {}
                await tx.delete(type, id)
    except KeyError:
        return "there is none"
    # It is the caller's, down to the bottom.
    for value in given.values():
        if isinstance(value, dict | list):
            value.clear()
    given.clear()
    return "done"


async def read(view: Snapshot, step: tuple[Any, ...], since: dict[str, int]) -> object:
    """``since``: the states before the transaction."""
    kind, *rest = step
    match kind:
        case "get":
            type, wanted, name = rest
            found = await view.get(type, wanted, None if name is None else {name})
            return found if name is None else [(one["id"], one.get(name)) for one in found]
        case "project":
            type, wanted, name = rest
            return [(one.id, bytes(getattr(one, name))) for one in await view.project(type, wanted, [name])]  # type: ignore[attr-defined]
        case "select":
            type, where, order, limit, distinct = rest
            return await view.select(type, where, order, limit=limit, distinct=distinct)
        case "count":
            return await view.count(rest[0], rest[1], distinct=rest[2])
        case "all":
            return await view.select(rest[0])
        case "owns":
            return await view.owns_blob(rest[0])
    changes = await view.changes(rest[0], since.get(rest[0], 0), 100)
    assert changes is not None
    # A further update of a record need not be an entry of its own.
    return sorted(changes.created), sorted(changes.updated), sorted(changes.destroyed)


EVERYTHING = [
    *(("get", type, None, None) for type in TYPES),
    *(("select", "Message", where, (), None, None) for where in CONDITIONS),
    ("owns", ["B0", "B1", "Ba"]),
]


async def agree(one: Store, model: Store, account: str, steps: Any, every: bool) -> None:
    """The same transaction in both; ``every``: also whatever can be read after each step."""
    states: list[dict[str, int]] = []
    for store in (one, model):
        async with store.read(account) as view:
            states.append(dict(await view.states()))
    async with one.write(account) as tx, model.write(account) as expected:
        for step in steps:
            if step[0] in ("put", "update", "delete"):
                assert await write(tx, step) == await write(expected, step), step
            else:
                assert await read(tx, step, states[0]) == await read(expected, step, states[1]), step
            for question in EVERYTHING if every else ():
                told = await read(tx, question, states[0])
                assert told == await read(expected, question, states[1]), (step, question)
    async with one.read(account) as view, model.read(account) as wanted:
        for question in [*EVERYTHING, *(("changed", type) for type in TYPES)]:
            told = await read(view, question, states[0])
            assert told == await read(wanted, question, states[1]), question
        assert (await view.states()).keys() == (await wanted.states()).keys()


async def check(one: Store, account: str, history: Any) -> None:
    model = MemoryStore(TABLES, FakeClock())
    for steps, every in history:
        await agree(one, model, account, steps, every)


def test_a_transaction_sees_what_it_wrote_after_each_step() -> None:
    accounts = itertools.count()

    @settings(max_examples=80)
    @given(history=transactions)
    def agrees(history: Any) -> None:
        runner.run(check(store, f"A{next(accounts)}", history))

    context = opened("postgres")
    with asyncio.Runner() as runner:
        store = runner.run(context.__aenter__())
        try:
            agrees()
        finally:
            runner.run(context.__aexit__(None, None, None))
