"""Every store selects exactly what ``conditions.matches`` selects, in the order that ``values.sort_key`` gives."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.stores import NEWEST, STORES, opened
from veredus.conditions import (
    EVERYTHING,
    All,
    Any_,
    Condition,
    Contains,
    Eq,
    Has,
    HasAny,
    HasOther,
    In,
    Item,
    Not,
    Order,
    Range,
    Same,
    Text,
    matches,
)
from veredus.formats.collation import ALGORITHMS
from veredus.ports import Snapshot, Store
from veredus.store.limits import TooComplex
from veredus.store.values import sort_key

WORDS = ["a", "b", "c", "é", "日", "本", "x1"]
KEYS = ["in", "out", "$seen", "q\"'.\\", "é", "0"]
STRINGS = [
    "",
    "a",
    "A",
    "ab",
    "B",
    "10",
    "9",
    "ß",
    "SS",
    "é",
    "日本",
    "x\x00y",
    "%_",
    "true",
    "null",
    "[1]",
    "ǆ",
]
NUMBERS = [0, 1, 9, 10, -5, 2**53 - 1]
THREADS = ["t1", "t2", "t3", None]
DATES = [f"2026-01-0{day}T00:00:0{second}Z" for day in (1, 2) for second in (0, 5)]

scalars = st.sampled_from([*STRINGS, *NUMBERS, True, False, None])
keys = st.lists(st.sampled_from(KEYS), max_size=3, unique=True)
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3)
collections = st.one_of(keys, keys.map(lambda keys: dict.fromkeys(keys, True)))
elements = st.fixed_dictionaries({}, optional={"name": st.sampled_from(STRINGS), "value": scalars})

records = st.fixed_dictionaries(
    {"sentAt": st.sampled_from(DATES)},
    optional={
        "threadId": st.sampled_from(THREADS),
        "size": st.sampled_from(NUMBERS),
        "seen": scalars,
        "boxIds": collections,
        "tags": collections,
        "note": scalars,
        "plain": scalars,
        "list": collections,
        "headers": st.lists(elements, max_size=3),
        "parts": st.one_of(st.none(), st.lists(elements, max_size=2)),
        "origin": scalars,
    },
)
texts = st.none() | st.fixed_dictionaries(
    {}, optional={"subject": words.map(" ".join), "body": words.map(" ".join)}
)
mailboxes = st.lists(st.tuples(records, texts), max_size=12)

SCALARS = ["threadId", "size", "seen", "note", "plain", "origin", "missing", "sentAt", "id"]
COLLECTIONS = ["boxIds", "tags", "list"]
ids = [f"m{number}" for number in range(12)]
values = scalars | st.sampled_from([*THREADS, *DATES, *ids])


def bounds(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.sampled_from(values)


def ranges(names: list[str], values: list[Any]) -> st.SearchStrategy[Condition]:
    return st.builds(Range, st.sampled_from(names), bounds(values), bounds(values))


# What an element of an array can be asked.
element_atoms: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Eq, st.sampled_from(["name", "value", "missing"]), scalars),
    st.builds(Contains, st.sampled_from(["name", "value"]), st.sampled_from(STRINGS), st.booleans()),
)
atoms: st.SearchStrategy[Condition] = st.one_of(
    st.builds(Eq, st.sampled_from(SCALARS), values),
    st.builds(In, st.sampled_from(SCALARS), st.lists(values, max_size=4).map(tuple)),
    st.builds(Has, st.sampled_from(COLLECTIONS), st.sampled_from(KEYS)),
    st.builds(HasAny, st.sampled_from(COLLECTIONS), keys.map(tuple)),
    st.builds(HasOther, st.sampled_from(COLLECTIONS), keys.map(tuple)),
    ranges(["size"], NUMBERS),
    ranges(["sentAt"], [*DATES, "", "2026", "1601-01-01T00:00:00Z", "9999-01-01T00:00:00Z"]),
    ranges(["threadId"], ["t1", "t2", "u"]),
    st.builds(Contains, st.sampled_from(SCALARS), st.sampled_from(STRINGS), st.booleans()),
    st.builds(
        Text,
        st.lists(st.sampled_from(["subject", "body"]), max_size=2, unique=True).map(tuple),
        st.lists(words.map(tuple), max_size=2).map(tuple),
    ),
)


def nested(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    some = st.lists(inner, max_size=3).map(tuple)
    return st.one_of(st.builds(All, some), st.builds(Any_, some), st.builds(Not, inner))


items = st.builds(
    Item, st.sampled_from(["headers", "parts"]), st.recursive(element_atoms, nested, max_leaves=3)
)
same = st.builds(
    Same, st.sampled_from(["threadId", "note"]), st.recursive(atoms | items, nested, max_leaves=3)
)
conditions = st.recursive(atoms | items | same, nested, max_leaves=6)
collations = st.none() | st.sampled_from(sorted(ALGORITHMS))
orders = st.lists(
    st.one_of(
        st.builds(Order, st.sampled_from([*SCALARS, "list"]), st.booleans(), collations),
        st.builds(Order, conditions, st.booleans()),
    ),
    max_size=3,
)


class Model:
    """The records as a list in the table's order, and what they are asked by plain Python."""

    def __init__(self, mailbox: list[tuple[dict[str, Any], dict[str, str] | None]]) -> None:
        self.rows = [({"id": f"m{n}"} | record, texts or {}) for n, (record, texts) in enumerate(mailbox)]
        self.ordered = sorted(self.rows, key=lambda row: row[0]["sentAt"])

    def near(self, property: str, value: Any) -> Any:
        return [
            row
            for row in self.rows
            if row[0].get(property) == value
            and isinstance(row[0].get(property), bool) == isinstance(value, bool)
        ]

    def matches(self, where: Condition, row: Any) -> bool:
        return matches(where, row[0], row[1], self.near)

    def select(self, where: Condition, orders: list[Order]) -> list[str]:
        newest_first = bool(orders) and orders[0].by == "sentAt" and not orders[0].ascending
        found = [
            row for row in (self.ordered[::-1] if newest_first else self.ordered) if self.matches(where, row)
        ]
        for order in reversed(orders):
            found.sort(key=lambda row: self._key(order, row), reverse=not order.ascending)
        return [row[0]["id"] for row in found]

    def _key(self, order: Order, row: Any) -> Any:
        if not isinstance(order.by, str):
            return self.matches(order.by, row)
        collation = None if order.by == "sentAt" else order.collation
        return sort_key(row[0].get(order.by), collation)


async def fill(store: Store, model: Model, account: str = "A") -> None:
    async with store.write(account) as tx:
        for record, texts in model.rows:
            await tx.put("Message", record, texts)


async def compare(snapshot: Snapshot, model: Model, where: Condition, orders: list[Order]) -> None:
    expected = model.select(where, orders)
    assert await snapshot.select("Message", where, orders) == expected
    assert await snapshot.select("Message", where, orders, limit=3, offset=1) == expected[1:4]
    assert await snapshot.count("Message", where) == len(expected)


@pytest.mark.parametrize("name", STORES)
def test_a_store_selects_what_matches_selects(name: str) -> None:
    """Every example has an account of its own, beside those of the examples before."""
    accounts = itertools.count()

    @settings(max_examples=60)
    @given(mailbox=mailboxes, wheres=st.lists(st.tuples(conditions, orders), min_size=1, max_size=8))
    def agrees(mailbox: Any, wheres: Any) -> None:
        runner.run(example(Model(mailbox), wheres))

    async def example(model: Model, wheres: Any) -> None:
        account = f"A{next(accounts)}"
        await fill(store, model, account)
        async with store.read(account) as snapshot:
            for where, order in wheres:
                await compare(snapshot, model, where, order)

    context = opened(name)
    with asyncio.Runner() as runner:
        store = runner.run(context.__aenter__())
        try:
            agrees()
        finally:
            runner.run(context.__aexit__(None, None, None))


# Enough that the indexes which could drive a selection differ in size.
MANY = [
    (
        {
            "sentAt": f"2026-01-01T{n // 60 % 24:02}:{n % 60:02}:00Z",
            "boxIds": {"in" if n % 7 else "out": True},
            "tags": {"$seen": True} if n % 3 else {},
            "threadId": f"t{n // 4}",
            "size": n,
            "seen": n % 2 == 0,
        },
        {"subject": f"n{n} common", "body": "rare" if n % 100 == 0 else "other"},
    )
    for n in range(700)
]
DRIVERS = [
    Has("boxIds", "in"),
    Has("boxIds", "out"),
    Has("tags", "$seen"),
    Eq("threadId", "t7"),
    Eq("seen", True),
    Eq("id", "m5"),
    In("threadId", ("t7", "t9", None)),
    In("id", ("m5", "m500")),
    Range("size", 10, 20),
    Range("size", 10),
    Range("sentAt", "2026-01-01T01:00:00Z", "2026-01-01T05:00:00Z"),
    Range("sentAt", None, "9999-01-01T00:00:00Z"),
    Text(("subject",), (("common",),)),
    Text(("subject", "body"), (("rare",),)),
    Not(Has("tags", "$seen")),
    Same("threadId", Has("boxIds", "out")),
]


@pytest.mark.parametrize("name", STORES)
async def test_every_driver_gives_the_same(name: str) -> None:
    model = Model(MANY)
    async with opened(name) as store:
        await fill(store, model)
        async with store.read("A") as snapshot:
            for first, second in itertools.combinations(DRIVERS, 2):
                where = All((first, second))
                expected = model.select(where, list(NEWEST))
                assert await snapshot.select("Message", where, NEWEST, limit=30) == expected[:30], where
                by_size = [Order("size", ascending=False)]
                assert await snapshot.select("Message", where, by_size, limit=9) == expected[:9], where
                assert await snapshot.count("Message", where) == len(expected)


@pytest.mark.parametrize("name", STORES)
async def test_deep_and_long_conditions_work_or_are_refused(name: str) -> None:
    def deep(levels: int) -> Condition:
        where: Condition = Has("boxIds", "in")
        for level in range(levels):
            where = Not(All((where, Any_((Eq("size", level),)))))
        return where

    long = Any_(tuple(Eq("size", number) for number in range(1500)))
    async with opened(name) as store:
        model = Model(MANY[:20])
        await fill(store, model)
        async with store.read("A") as snapshot:
            for where in (deep(60), long, All((long, long.of[0])), In("size", tuple(range(50_000)))):
                await compare(snapshot, model, where, [])
            for where in (deep(1000), deep(5000), Any_((long,) * 4)):
                with pytest.raises(TooComplex):
                    await snapshot.select("Message", where)
                with pytest.raises(TooComplex):
                    await snapshot.count("Message", where)
                with pytest.raises(TooComplex):
                    await snapshot.select("Message", EVERYTHING, [Order(where)])
            assert await snapshot.count("Message") == 20
