"""Todo: what is to be done. The data type of RFC 8620 §5.7, with all that a plug-in can have."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from veredus.conditions import Order
from veredus.formats.search import normalize
from veredus.ports import Snapshot, Transaction
from veredus.schema import (
    Access,
    BlobId,
    BlobRef,
    Changed,
    Computed,
    DataType,
    Hooks,
    Id,
    Immutable,
    Indexed,
    Internal,
    JsonObject,
    Method,
    MethodError,
    Object,
    ServerSet,
    SetError,
    Unique,
    UnsignedInt,
    UTCDate,
    at_least,
    below,
    by,
    contains,
    equals,
    has,
    text,
)
from veredus.wire.arguments import AccountArguments, SetArguments

CAPABILITY = "https://veredus.example/jmap/todo"


class Todo(Object):
    """Properties of a Todo."""

    id: ServerSet[Id]
    title: str
    keywords: Indexed[dict[str, Literal[True]]] = {}
    # §5.7 has a neural network for it.
    neural_network_time_estimation: ServerSet[UnsignedInt] = 0
    sub_todo_ids: list[Id] | None = None
    # A name that no other Todo has, and that stays.
    slug: Immutable[Indexed[str | None]] = None
    due: Indexed[UTCDate | None] = None
    priority: Indexed[UnsignedInt] = 0
    is_done: Indexed[bool] = False
    attachment: BlobRef[BlobId | None] = None
    # How to reach people: a map from id to any text.
    notes: dict[Id, str] = {}
    created_by: Internal[str] = ""


def estimate(todo: JsonObject) -> int:
    """So many seconds it will take."""
    return 60 * len(todo["title"].split()) + 600 * len(todo["keywords"])


class TodoHooks(Hooks):
    """What the shape cannot say."""

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        record["createdBy"] = ctx.identity.user
        await self._check(ctx, tx, record)

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        await self._check(ctx, tx, new)

    async def _check(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        record["title"] = record["title"].strip()
        if not record["title"]:
            raise SetError.invalid_properties(["title"], "A Todo needs a title.")
        wanted = set(record["subTodoIds"] or ())
        if len(await tx.get("Todo", list(wanted), frozenset())) < len(wanted):
            raise SetError.invalid_properties(["subTodoIds"], "There is no such Todo.")
        record["neuralNetworkTimeEstimation"] = estimate(record)

    async def check_destroy(
        self, ctx: Access, tx: Transaction, old: JsonObject, arguments: SetArguments
    ) -> None:
        if old["keywords"].get("locked"):
            raise SetError.forbidden("It is locked.")

    async def after(
        self, ctx: Access, tx: Transaction, changed: Sequence[Changed], arguments: SetArguments
    ) -> None:
        """Nobody keeps a sub-Todo that is gone."""
        gone = {change.old["id"] for change in changed if change.new is None and change.old is not None}
        if not gone:
            return
        for todo in await tx.get("Todo", None, {"subTodoIds"}):
            left = [id for id in todo["subTodoIds"] or () if id not in gone]
            if todo["subTodoIds"] and left != todo["subTodoIds"]:
                await tx.update("Todo", todo["id"], {"subTodoIds": left or None})


async def is_late(
    ctx: Access, snapshot: Snapshot, records: Sequence[JsonObject], names: Sequence[str], arguments: Any
) -> list[Mapping[str, Any]]:
    """isLate of many Todos at once."""
    now = ctx.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {"isLate": todo["due"] is not None and todo["due"] < now and not todo["isDone"]} for todo in records
    ]


class DoneArguments(AccountArguments, kw_only=True):
    """Todo/done: every Todo with a keyword is done."""

    keyword: str


async def done(ctx: Access, arguments: DoneArguments) -> JsonObject:
    """An extra method: it may use others, here Todo/set."""
    async with ctx.read() as snapshot:
        ids = await snapshot.select("Todo", has("keywords")(arguments.keyword))
    if not ids:
        raise MethodError.invalid_arguments("No Todo has that keyword.")
    await ctx.call(
        "Todo/set", {"accountId": arguments.account_id, "update": {id: {"isDone": True} for id in ids}}
    )
    return {"accountId": arguments.account_id, "done": len(ids)}


TODOS = DataType(
    name="Todo",
    capability=CAPABILITY,
    shape=Todo,
    prefix="d",
    filters={
        "hasKeyword": has("keywords"),
        "title": contains("title"),
        "isDone": equals("isDone"),
        "slug": equals("slug"),
        "dueBefore": below("due"),
        "minPriority": at_least("priority"),
        "text": text("title", "keywords"),
    },
    sorts={"title": by("title"), "due": by("due"), "priority": by("priority"), "isDone": by("isDone")},
    default_sort=(Order("title", collation="i;unicode-casemap"),),
    hooks=TodoHooks(),
    computed=(Computed(("isLate",), ("due", "isDone"), is_late),),
    unique=(Unique(("slug",)),),
    text_fields=("title", "keywords"),
    text_of=lambda todo: {
        "title": normalize(todo["title"]),
        "keywords": normalize(" ".join(todo["keywords"])),
    },
    extra=(Method("Todo/done", DoneArguments, done, writes=True),),
    account_capability={"maxTodos": None},
)
