"""How PostgreSQL follows selections: by which index, how far, and in how many statements."""

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from contract import postgres
from contract.stores import MESSAGE, NEWEST, opened, put
from contract.test_store_conditions import MANY, Model, fill
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
)
from veredus.store.memory import MemoryStore
from veredus.store.postgres import plan
from veredus.store.postgres.database import connect
from veredus.store.postgres.migrate import migrate
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.statements import counting
from veredus.store.postgres.values import key, member
from veredus.store.sqlite_schema import member_keys

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIZE = 20_000
LAYOUT = Layout(MESSAGE)
ACCOUNT = 7


def _record(n: int) -> dict[str, Any]:
    return {
        "id": f"m{n}",
        "sentAt": f"2026-{1 + n // 2000:02}-{1 + n // 80 % 25:02}T{n // 4 % 20:02}:00:{n % 60:02}Z",
        "threadId": f"t{n // 3}",
        "size": n % 100,
        "seen": n % 2 == 0,
        "boxIds": {"in" if n % 4 else "out": True, **({"rare": True} if n % 1000 == 0 else {})},
        "tags": {} if n % 50 == 0 else {"$seen": True},
        "headers": [],
    }


def _tables() -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """The rows of every table, of two accounts that are alike."""
    records = [(account, n, _record(n)) for account in (ACCOUNT, ACCOUNT + 1) for n in range(SIZE)]
    places = [(account, LAYOUT.rid(record, n + 1)) for account, n, record in records]
    yield (
        LAYOUT.records,
        [
            (*place, record["id"], True, *LAYOUT.keys(record), *LAYOUT.parts(record)[:2])
            for place, (_, _, record) in zip(places, records, strict=True)
        ],
    )
    for name, table in LAYOUT.members.items():
        yield (
            table,
            [
                (a, member(one), rid, record["id"], key(record["threadId"]))
                for (a, rid), (_, _, record) in zip(places, records, strict=True)
                for one in member_keys(record[name])
            ],
        )
    assert LAYOUT.txt
    yield (
        LAYOUT.txt,
        [
            (*place, f"n{n} common", "some rare words" if n % 500 == 0 else "some other words")
            for place, (_, n, _) in zip(places, records, strict=True)
        ],
    )


class Session:
    """A connection as the store has it; counts its statements."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.statements = 0

    async def fetch(self, sql: str, values: Any) -> list[Any]:
        self.statements += 1
        rows: list[Any] = await self.connection.fetch(sql, *values)
        return rows

    async def explained(self, statement: plan.Statement | None) -> list[dict[str, Any]]:
        """The nodes of the plan as it was carried out, made without a look at the values."""
        assert statement is not None
        run = self.connection.execute
        await run("SET plan_cache_mode = force_generic_plan")
        await run(f"PREPARE asked AS {statement.sql}")
        try:
            literals = ", ".join(map(_literal, statement.values))
            text = await self.connection.fetchval(
                f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) EXECUTE asked({literals})"
            )
        finally:
            await run("DEALLOCATE asked")
        return list(_nodes(json.loads(text)[0]["Plan"]))


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]"
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'::bytea"
    return f"'{value}'" if isinstance(value, str) else str(value)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for inner in node.get("Plans", ()):
        yield from _nodes(inner)


def visited(nodes: list[dict[str, Any]]) -> int:
    """How many rows and entries of indexes were looked at."""
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes
        if "Scan" in node["Node Type"] and not node["Node Type"].startswith(("Subquery", "CTE", "Function"))
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["without statistics", "with statistics"])
async def session(request: pytest.FixtureRequest) -> AsyncIterator[Session]:
    schema = f"plans {request.param}"
    connection = await connect(postgres.url(), schema)
    try:
        await connection.execute("SET enable_bitmapscan = off")
        await migrate(connection, schema, [LAYOUT])
        for table, rows in _tables():
            name = table.strip('"')
            await connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            await connection.copy_records_to_table(name, records=rows, schema_name=schema)
        if request.param == "with statistics":
            await connection.execute("VACUUM ANALYZE")
        yield Session(connection)
    finally:
        await connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
        await connection.close()


def asked(where: Condition, orders: Any = NEWEST, distinct: str | None = None, **how: Any) -> plan.Selection:
    return plan.Selection(LAYOUT, ACCOUNT, where, orders, distinct, **({"limit": 50} | how))


IN = Has("boxIds", "in")
SEEN = Has("tags", "$seen")
ALL_SEEN = Not(Same("threadId", Not(SEEN)))
NEW = Range("sentAt", "2026-09-01T00:00:00Z")
OLD = Range("sentAt", None, "2026-02-01T00:00:00Z")

# What is asked, and how many rows and entries may be looked at for fifty results.
IN_ORDER = {
    "a mailbox": (asked(IN), 50),
    "a page of it further on": (asked(IN, offset=300), 350),
    "of the unseen": (asked(All((IN, Not(SEEN)))), 8000),
    "of a rare keyword": (asked(All((IN, Has("boxIds", "rare")))), 700),
    "of two large ones": (asked(All((IN, SEEN))), 1200),
    "threads of a mailbox": (asked(IN, distinct="threadId"), 1000),
    "threads of the unseen": (asked(All((IN, Not(SEEN))), distinct="threadId"), 8000),
    "after": (asked(NEW), 50),
    "before": (asked(OLD), 50),
    "of a mailbox before": (asked(All((IN, OLD))), 100),
    "all in thread have it": (asked(All((IN, ALL_SEEN))), 1000),
    "some in thread have it": (asked(Same("threadId", Has("boxIds", "rare")), limit=5), 40_000),
    "everything": (asked(EVERYTHING), 50),
    "oldest first": (asked(IN, ()), 50),
    "one of many sizes": (asked(Range("size", 10)), 700),
}


@pytest.mark.parametrize("name", IN_ORDER)
async def test_a_list_follows_an_index_in_order_and_ends_early(session: Session, name: str) -> None:
    selection, most = IN_ORDER[name]
    nodes = await session.explained(plan.window(selection))
    assert {node["Node Type"] for node in nodes if node["Actual Rows"]}.isdisjoint(
        {"Sort", "Incremental Sort", "Seq Scan", "Hash Join", "Materialize", "Bitmap Heap Scan"}
    )
    assert visited(nodes) <= most


BY_INDEX = {
    "a thread": (asked(Eq("threadId", "t77"), limit=None), 3),
    "threads": (asked(In("threadId", ("t7", "t77", "t777", None)), limit=None), 9),
    "a record": (asked(Eq("id", "m7"), limit=None), 1),
    "a word": (asked(Text(("subject", "body"), (("n77",),))), 3),
    "a rarer word": (asked(Text(("subject", "body"), (("rare",),))), 120),
    "a phrase": (asked(Text(("subject", "body"), (("some", "rare", "words"),))), 130),
    "two words": (asked(Text(("subject",), (("n77",), ("common",)))), 3),
    "a word in a mailbox": (asked(All((IN, Text(("body",), (("rare",),))))), 700),
    "a frequent word in a small mailbox": (
        asked(All((Has("boxIds", "rare"), Text(("subject",), (("common",),))))),
        400,
    ),
    "threads with a word": (asked(Text(("body",), (("rare",),)), distinct="threadId"), 130),
    "by size": (asked(Has("boxIds", "rare"), (Order("size"),)), 60),
    "few of a scalar": (asked(All((Range("size", 99), Has("boxIds", "rare")))), 500),
}


@pytest.mark.parametrize("name", BY_INDEX)
async def test_few_results_are_found_by_looking_at_few(session: Session, name: str) -> None:
    selection, most = BY_INDEX[name]
    nodes = await session.explained(plan.window(selection))
    assert visited(nodes) <= most


COUNTS = {
    "a mailbox": (IN, 15_000, 15_000),
    "a small mailbox": (Has("boxIds", "rare"), 20, 20),
    "other mailboxes": (HasOther("boxIds", ("in",)), 5000, 20_100),
    "a thread": (Eq("threadId", "t77"), 3, 3),
    "a word": (Text(("body",), (("rare",),)), 40, 80),
    "all": (EVERYTHING, SIZE, SIZE),
}


@pytest.mark.parametrize("name", COUNTS)
async def test_counting_looks_at_what_it_counts(session: Session, name: str) -> None:
    where, number, most = COUNTS[name]
    selection = asked(where, limit=None)
    assert await plan.count(selection, session.fetch) == number
    assert visited(await session.explained(counting(selection))) <= most


async def test_mail_outside_of_mailboxes_is_found_in_one_statement(session: Session) -> None:
    before = session.statements
    found = await plan.select(asked(HasOther("boxIds", ("in",))), session.fetch)
    assert len(found) == 50
    assert session.statements == before + 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (IN, Has("boxIds", "out")),
        (All((IN, Not(SEEN))), All((Has("boxIds", "x"), Not(Has("tags", "y"))))),
        (In("size", (1, 2)), In("size", (3, 4, 5))),
        (NEW, Range("sentAt", "2026-03-01T00:00:00Z")),
        (Text(("body",), (("a", "b", "c"),)), Text(("body",), (("d", "e", "f", "g"),))),
        (Eq("threadId", "a"), Eq("threadId", "b")),
    ],
)
async def test_the_text_of_a_statement_does_not_depend_on_the_values(
    one: Condition, other: Condition
) -> None:
    first, second = plan.window(asked(one)), plan.window(asked(other, limit=7))
    assert first is not None
    assert second is not None
    assert first.sql == second.sql


# ---------------------------------------------------------------- the same as the reference

PLAIN: list[Condition] = [
    EVERYTHING,
    IN,
    HasOther("boxIds", ("in",)),
    Not(HasOther("boxIds", ("in",))),
    Any_((HasOther("boxIds", ("in",)), Eq("size", 3))),
    All((IN, HasAny("tags", ("$seen", "x")))),
    All((IN, Contains("note", "a"))),
    All((Contains("note", "a"), Text(("subject",), (("common",),)))),
    All((Item("headers", Eq("name", "x")), Range("size", 100, 600))),
    All((Any_((Contains("note", "b"), SEEN)), Not(Same("note", Eq("size", 5))))),
    Same("threadId", Contains("note", "a")),
    Same("note", All((Eq("note", None), Same("threadId", Contains("note", "c"))))),
    Text(("subject", "body"), (("rare",),)),
]
SORTS: list[tuple[Order, ...]] = [
    (),
    NEWEST,
    (Order("size", ascending=False),),
    (Order("note"), *NEWEST),
    (Order("note", ascending=False, collation="i;unicode-casemap"), Order("seen")),
    (Order(Contains("note", "a"), ascending=False), Order(SEEN)),
    (Order("threadId", collation="i;ascii-numeric"),),
]
DISTINCT = (None, "threadId", "note", "id", "missing")


async def test_portions_give_what_the_reference_gives() -> None:
    """More rows than the first portions have, sorted, and one of each value."""
    rows = [
        (
            record | {"note": [None, "Abc", "abx", "c", ["x"]][n % 5], "headers": [{"name": "xy"[n % 2]}]},
            texts,
        )
        for n, (record, texts) in enumerate(MANY)
    ]
    model = Model(rows)
    ways = itertools.cycle(itertools.product(DISTINCT, ((None, 0), (5, 0), (300, 2))))
    async with opened("postgres") as store, opened("memory") as reference:
        await fill(store, model)
        await fill(reference, model)
        assert isinstance(reference, MemoryStore)
        async with store.read("A") as snapshot, reference.read("A") as expected:
            for where in PLAIN:
                for distinct in DISTINCT:
                    assert await snapshot.count("Message", where, distinct=distinct) == await expected.count(
                        "Message", where, distinct=distinct
                    )
                for order, (distinct, (limit, offset)) in itertools.product(SORTS, itertools.islice(ways, 4)):
                    how: Any = {"limit": limit, "offset": offset, "distinct": distinct}
                    found = await snapshot.select("Message", where, order, **how)
                    assert found == await expected.select("Message", where, order, **how), (where, order, how)


async def test_values_too_long_for_an_index_are_told_apart() -> None:
    long = "x" * 1500
    threads = ["x" * 998, "x" * 999, "x" * 1000, long, long + "a", long + "b", long + "b", None, "x"]
    records = [
        {"id": f"m{n}", "sentAt": "2026-01-01T00:00:00Z", "threadId": thread, "tags": {thread or "": True}}
        for n, thread in enumerate(threads)
    ]
    wheres: list[Condition] = [
        EVERYTHING,
        In("threadId", tuple(threads)),
        In("threadId", tuple(threads[3:5])),
    ]
    for thread in threads:
        wheres += [
            Eq("threadId", thread),
            Same("threadId", Eq("threadId", thread)),
            In("threadId", (thread,)),
        ]
        wheres += [Range("threadId", thread), Range("threadId", None, thread), Has("tags", thread or "")]
    async with opened("postgres") as store, opened("memory") as reference:
        for to in (store, reference):
            async with to.write("A") as tx:
                for record in records:
                    await tx.put("Message", record)
        async with store.read("A") as snapshot, reference.read("A") as expected:
            for where in wheres:
                for distinct in (None, "threadId"):
                    for limit in (None, 20):
                        assert await snapshot.select(
                            "Message", where, distinct=distinct, limit=limit
                        ) == await expected.select("Message", where, distinct=distinct, limit=limit)


async def test_leap_seconds_and_dates_off_the_scale_are_where_their_strings_say() -> None:
    dates = ["2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "1969-01-01T00:00:00Z"]
    dates += ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01Z", "2242-03-16T12:56:31Z", "2300-01-01T00:00:00Z"]
    dates += ["9999-12-31T23:59:59Z", "2017-01-01T00:00:00.5Z"]
    records: list[dict[str, Any]] = [{"id": f"m{n}", "sentAt": date} for n, date in enumerate(dates)]
    async with opened("postgres") as store, opened("memory") as reference:
        for to in (store, reference):
            await put(
                to, *({"subject": "", "boxIds": {"in": True}} | one for one in [*records, {"id": "none"}])
            )
        async with store.read("A") as snapshot, reference.read("A") as expected:
            for first in (None, *dates, "", "2017"):
                for last in (None, *dates, "x"):
                    where = All((IN, Range("sentAt", first, last)))
                    found = await expected.select("Message", where)
                    assert await snapshot.select("Message", where) == found
                    assert await snapshot.select("Message", where.of[1], limit=5) == found[:5]
