"""Which index a selection follows: one condition drives, the others are tested row by row.

An index mostly gives the rows in the table's order, so that a limit ends the work early. Where several
conditions could drive, the statement counts the rows of each, up to a limit, and goes on with the branch that
it then finds best; so every selection is one statement, and its plan need not know the values.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct

from veredus.conditions import Condition, Eq, Has, HasAny, HasOther, In, Range, Text
from veredus.store.postgres import fulltext, sql
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.selection import Conjunction, Selection
from veredus.store.postgres.values import member

# How far candidates are counted before they are compared.
_COUNTED = 500
# Up to that many rows, looking into each for words is cheaper than going through all that have the words.
_FEW = 200
# Further candidates are no candidates: each makes the statement longer.
_COMPARED = 3

# The columns to select of a row.
Columns: TypeAlias = Callable[[sql.Row], Sequence[str]]


class Driver(Struct):
    """``source``: what stands behind FROM, with ``test`` behind WHERE; its rows are those of ``conditions``.

    ``probe``: a source of about as many rows; None: as ``source``.
    """

    conditions: Sequence[Condition]
    source: str
    test: str
    row: sql.Row
    probe: str | None = None
    few: bool = False

    def all(self) -> str:
        return f"SELECT * FROM {self.source} WHERE {self.test}"


class Source(Struct):
    """``with_``: what stands before SELECT; ``rows``: what stands behind FROM, named ``w``."""

    with_: str
    rows: str


class Choice:
    """Makes the source of the rows that satisfy the SQL of a conjunction.

    ``in_order``: the rows come in the table's order, and mostly not all are wanted.
    """

    def __init__(
        self, selection: Selection, found: Conjunction, compiler: sql.Compiler, in_order: bool
    ) -> None:
        self._layout: Layout = selection.layout
        self._descending = selection.newest_first
        self._found = found
        self._compiler = compiler
        self._in_order = in_order

    @property
    def direction(self) -> str:
        return " DESC" if self._descending else ""

    def source(self, columns: Columns, tests: Columns = lambda row: (), limit: int | None = None) -> Source:
        """``tests``: further ones of each row; ``limit``: how many are wanted, if that is known."""
        choices, pick = self._choices()
        if pick is None:
            return Source("", f"({self._branch(choices[0], columns, tests)}) w")
        tail = f" ORDER BY rid{self.direction}" if self._in_order else ""
        tail += f" LIMIT {self._compiler.bind(limit)}" if limit is not None and self._in_order else ""
        branches = [
            f"({self._branch(driver, columns, tests, f'(SELECT pick FROM s) = {number}')}{tail})"
            for number, driver in enumerate(choices)
        ]
        return Source(f"WITH s AS MATERIALIZED ({pick}) ", f"({' UNION ALL '.join(branches)}) w")

    def _branch(self, driver: Driver, columns: Columns, tests: Columns, is_picked: str = sql.ALWAYS) -> str:
        self._compiler.few = driver.few
        row = driver.row
        rest = [part for part in self._found.sql if all(part is not of for of in driver.conditions)]
        expressions = [self._compiler.expression(part, row) for part in rest]
        conditions = [driver.test, *expressions, *tests(row), is_picked]
        wanted = ", ".join(columns(row))
        self._compiler.few = False
        where = " AND ".join(test for test in conditions if test != sql.ALWAYS) or sql.ALWAYS
        return f"SELECT {wanted} FROM {driver.source}{self._record(row)} WHERE {where}"

    def _record(self, row: sql.Row) -> str:
        """The record of each row, where its columns are asked for."""
        if row.is_record or not row.joined:
            return ""
        return (
            f" CROSS JOIN LATERAL (SELECT * FROM {self._layout.records} o"
            f" WHERE o.a = $1 AND o.rid = {row.rid} OFFSET 0) {row.alias}"
        )

    # ------------------------------------------------------------ choosing

    def _choices(self) -> tuple[list[Driver], str | None]:
        """The drivers, and the SQL that gives the number of the one to follow (None: the only one)."""
        if not all(fulltext.can_be_found(self._layout, text) for text in self._found.texts):
            return [self._nothing()], None
        others = [part for part in self._found.sql if isinstance(part, HasOther)]
        if others:
            return [self._drive(others[0])], None
        ordered = [part for part in self._found.sql if _in_order(self._layout, part)]
        unique = [part for part in ordered if isinstance(part, Eq) and part.property == "id"]
        if unique:
            return [self._drive(unique[0])], None
        loose = [part for part in self._found.sql if _out_of_order(self._layout, part)]
        parts = [*ordered, *loose][:_COMPARED]
        texts = self._found.texts
        if not parts or (len(ordered) == 1 and not loose and not texts):
            return [self._drive(parts[0]) if parts else self._text(texts) if texts else self._scan()], None
        drivers = [self._drive(part) for part in parts]
        if texts:
            for driver in drivers:
                driver.few = True
            return [*drivers, self._text(texts)], self._pick(drivers, _FEW + 1, len(drivers))
        if ordered or not self._in_order:
            return drivers, self._pick(drivers, _COUNTED, 0) if len(drivers) > 1 else None
        return [*drivers, self._scan()], self._pick(drivers, _COUNTED, len(drivers))

    def _pick(self, drivers: Sequence[Driver], enough: int, otherwise: int) -> str:
        """The number of the driver with the fewest rows, or when each has ``enough``, ``otherwise``."""
        sizes = ", ".join(f"{self._size(driver)} AS n{number}" for number, driver in enumerate(drivers))
        least = ", ".join(f"n{number}" for number in range(len(drivers)))
        cases = " ".join(f"WHEN n{number} = least({least}) THEN {number}" for number in range(len(drivers)))
        case = f"CASE WHEN least({least}) >= {enough} THEN {otherwise} {cases} END"
        return f"SELECT {case} AS pick FROM (SELECT {sizes} OFFSET 0) n"

    def _size(self, driver: Driver) -> str:
        source = driver.probe or f"{driver.source} WHERE {driver.test}"
        return f"(SELECT count(*) FROM (SELECT 1 FROM {source} LIMIT {_COUNTED}) c)"

    # ------------------------------------------------------------ drivers

    def _drive(self, part: Condition) -> Driver:
        match part:
            case Has(name, key):
                test = f"m.a = $1 AND m.key = {self._compiler.bind(member(key))}"
                return Driver([part], f"{self._layout.members[name]} m", test, self._member())
            case HasAny(name, keys):
                return self._members(part, name, f"= ANY({sql.members(self._compiler, keys)})")
            case HasOther(name, keys):
                return self._members(part, name, f"<> ALL({sql.members(self._compiler, keys)})")
        assert isinstance(part, Eq | In | Range)
        row = sql.Row(self._layout, "r")
        if part.property == "id":
            test = self._compiler.expression(part, row)
        else:
            test = sql.drives(self._compiler, part, row.column(part.property))
        if isinstance(part, Eq):
            return Driver([part], f"{self._layout.records} r", f"r.a = $1 AND {test}", row)
        found = f"SELECT * FROM {self._layout.records} r WHERE r.a = $1 AND {test}"
        if isinstance(part, In) and None in part.values and part.property != "id":
            # Two scans rather than one with OR, which no index answers in one go.
            found += f" UNION ALL {self._drive(Eq(part.property, None)).all()}"
        return Driver([part], f"({found} OFFSET 0) r", sql.ALWAYS, row, f"({found}) r")

    def _member(self) -> sql.Row:
        covered = {"id": "m.id"} | {name: f"m.{column}" for name, column in self._layout.covers.items()}
        return sql.Row(self._layout, "r", "m.rid", covered)

    def _members(self, part: Condition, name: str, test: str) -> Driver:
        """A record that has several of the members comes once."""
        columns = ", ".join(["rid", "id", *self._layout.covers.values()])
        found = f"{self._layout.members[name]} WHERE a = $1 AND key {test}"
        return Driver(
            [part], f"(SELECT DISTINCT {columns} FROM {found}) m", sql.ALWAYS, self._member(), found
        )

    def _text(self, texts: Sequence[Text]) -> Driver:
        found = [fulltext.found(self._layout, text, "t", self._compiler.bind) for text in texts]
        order = f" ORDER BY t.rid{self.direction}" if self._in_order else ""
        source = f"(SELECT t.rid FROM {self._layout.txt} t WHERE {' AND '.join(found)}{order} OFFSET 0) t"
        return Driver(list(texts), source, sql.ALWAYS, sql.Row(self._layout, "r", "t.rid"))

    def _scan(self) -> Driver:
        """All records of the account, in order."""
        return Driver((), f"{self._layout.records} r", "r.a = $1", sql.Row(self._layout, "r"))

    def _nothing(self) -> Driver:
        return Driver(
            self._found.sql,
            f"{self._layout.records} r",
            f"r.a = $1 AND {sql.NEVER}",
            sql.Row(self._layout, "r"),
        )


def _in_order(layout: Layout, part: Condition) -> bool:
    """Whether an index gives the matching rows in the table's order."""
    match part:
        case Has(name, _) | HasAny(name, _):
            # Rows of several keys are sorted, but they are few where this is asked for.
            return name in layout.members
        case Eq(name, _):
            return name in layout.indexed or name == "id"
    return False


def _out_of_order(layout: Layout, part: Condition) -> bool:
    match part:
        case In(name, _):
            return name in layout.indexed or name == "id"
        case Range(name, _, _):
            return name in layout.indexed
    return False
