"""Mailbox/query as a tree: sortAsTree and filterAsTree (RFC 8621 §2.3)."""

from typing import Any

from veredus.conditions import EVERYTHING
from veredus.ports import Snapshot
from veredus.schema import QueryPlan
from veredus.wire.arguments import QueryArguments, QueryChangesArguments
from veredus.wire.types import Id


class MailboxQueryArguments(QueryArguments, kw_only=True):
    """Mailbox/query (§2.3)."""

    sort_as_tree: bool = False
    filter_as_tree: bool = False


class MailboxQueryChangesArguments(QueryChangesArguments, kw_only=True):
    """Mailbox/queryChanges (§2.4), and the tree of the query: see docs/silent.md#mailbox-querychanges."""

    sort_as_tree: bool = False
    filter_as_tree: bool = False


def refine(plan: QueryPlan, arguments: Any) -> QueryPlan:
    """Whether the results are rearranged."""
    as_tree = arguments.sort_as_tree or arguments.filter_as_tree
    return QueryPlan(plan.where, plan.order, rearranged=as_tree)


async def rearrange(snapshot: Snapshot, ids: list[Id], plan: QueryPlan, arguments: Any) -> list[Id]:
    """``ids``, sorted and filtered one by one, as the tree that the arguments ask for."""
    records = await snapshot.get("Mailbox", None, {"parentId"})
    parents: dict[Id, Id | None] = {record["id"]: record["parentId"] for record in records}
    wanted = set(ids)
    if arguments.filter_as_tree:
        wanted = {id for id in ids if wanted.issuperset(_ancestors(parents, id))}
    if arguments.sort_as_tree:
        # Ancestors that are filtered out decide where their descendants stand, too.
        ids = _as_tree(parents, await snapshot.select("Mailbox", EVERYTHING, plan.order))
    return [id for id in ids if id in wanted]


def _ancestors(parents: dict[Id, Id | None], id: Id) -> list[Id]:
    found: list[Id] = []
    parent = parents.get(id)
    while parent is not None:
        found.append(parent)
        parent = parents.get(parent)
    return found


def _as_tree(parents: dict[Id, Id | None], ids: list[Id]) -> list[Id]:
    """All mailboxes, depth first; children of one parent in the order of ``ids``."""
    children: dict[Id | None, list[Id]] = {}
    for id in ids:
        children.setdefault(parents[id], []).append(id)
    ordered: list[Id] = []
    stack = list(reversed(children.get(None, [])))
    while stack:
        id = stack.pop()
        ordered.append(id)
        stack.extend(reversed(children.get(id, [])))
    return ordered
