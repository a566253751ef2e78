"""Quota: how much an account may use (RFC 9425), and the booking of what it uses."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from veredus.conditions import Condition, Has, HasAny, Order
from veredus.ports import Snapshot, Transaction
from veredus.schema import (
    Access,
    Computed,
    DataType,
    Indexed,
    Internal,
    Live,
    Object,
    ServerSet,
    by,
    contains,
    equals,
)
from veredus.wire.errors import SetError
from veredus.wire.types import MAX_INT, Id, JsonObject, UnsignedInt

CAPABILITY = "urn:ietf:params:jmap:quota"
OCTETS, COUNT = "octets", "count"


class Quota(Object):
    """Properties of a Quota (§4). Octets count stored messages, count their number."""

    id: ServerSet[Id]
    resource_type: ServerSet[Indexed[Literal["count", "octets"]]]
    used: ServerSet[Live[UnsignedInt]]
    hard_limit: ServerSet[UnsignedInt]
    warn_limit: ServerSet[UnsignedInt | None] = None
    soft_limit: ServerSet[UnsignedInt | None] = None
    scope: ServerSet[Literal["account", "domain", "global"]] = "account"
    name: ServerSet[str]
    description: ServerSet[str | None] = None
    # All types the quota counts; a client sees those whose capability it uses (§4.1).
    data_types: Internal[Indexed[list[str]]]


def _shown(ctx: Access) -> Condition:
    """§4.1: no Quota that counts nothing the client knows."""
    return HasAny("dataTypes", ctx.type_names())


async def _types(
    ctx: Access, snapshot: Snapshot, records: Sequence[JsonObject], names: Sequence[str], arguments: object
) -> list[Mapping[str, Any]]:
    return [{"types": [name for name in record["dataTypes"] if ctx.data_type(name)]} for record in records]


def _of_type(value: Any) -> Condition:
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return Has("dataTypes", value)


QUOTA = DataType(
    name="Quota",
    capability=CAPABILITY,
    shape=Quota,
    prefix="q",
    methods=("get", "changes", "query", "queryChanges"),
    filters={
        "name": contains("name"),
        "scope": equals("scope"),
        "resourceType": equals("resourceType"),
        "type": _of_type,
    },
    sorts={"name": by("name", "i;unicode-casemap"), "used": by("used")},
    default_sort=(Order("name", collation="i;unicode-casemap"),),
    computed=(Computed(("types",), ("dataTypes",), _types),),
    volatile=frozenset({"used"}),
    shown=_shown,
)


async def set_limits(tx: Transaction, octets: int | None, count: int | None) -> None:
    """Give an account its quotas, or other limits; None: none that matters. Usage is kept."""
    existing = {record["id"]: record for record in await tx.get("Quota", None)}
    for id, limit, name in (
        (OCTETS, octets, "Size of all messages"),
        (COUNT, count, "Number of messages"),
    ):
        used = existing[id]["used"] if id in existing else 0
        hard = MAX_INT if limit is None else limit
        record: JsonObject = {
            "id": id,
            "resourceType": id,
            "used": used,
            "hardLimit": hard,
            "warnLimit": None if limit is None else limit * 9 // 10,
            "softLimit": None,
            "scope": "account",
            "name": name,
            "description": None,
            "dataTypes": ["Email"],
        }
        if existing.get(id) != record:
            await tx.put("Quota", record)


async def charge(tx: Transaction, type: str, count: int, octets: int) -> None:
    """Book what records of ``type`` take more (or, negative, less) of the account's quotas.

    Raises SetError overQuota, before anything is booked, when a limit would be passed by growing.
    """
    amounts = {OCTETS: octets, COUNT: count}
    quotas = [quota for quota in await tx.get("Quota", list(amounts)) if type in quota["dataTypes"]]
    for quota in quotas:
        amount = amounts[quota["id"]]
        if amount > 0 and quota["used"] + amount > quota["hardLimit"]:
            raise SetError.over_quota(f"{quota['name']}: the limit is {quota['hardLimit']}.")
    for quota in quotas:
        if amounts[quota["id"]]:
            await tx.update("Quota", quota["id"], {"used": max(0, quota["used"] + amounts[quota["id"]])})
