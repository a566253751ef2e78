"""SieveScript: the scripts of an account that say what is done with arriving mail (RFC 9661)."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from veredus.conditions import Eq, Order
from veredus.ports import Transaction
from veredus.schema import (
    Access,
    BlobRef,
    DataType,
    Draft,
    Hooks,
    Indexed,
    Object,
    ServerSet,
    Unique,
    by,
    contains,
    equals,
)
from veredus.scripts.content import Check, check_blob
from veredus.scripts.names import MAX_NAME_SIZE, checked_name, free_name
from veredus.scripts.validate import ValidateMethod
from veredus.wire.arguments import SetArguments
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId, Id, JsonObject

CAPABILITY = "urn:ietf:params:jmap:sieve"


class SieveScript(Object):
    """Properties of a SieveScript (§2.1). The content is a blob of its own, in UTF-8."""

    id: ServerSet[Id]
    # Without one the server chooses it.
    name: Indexed[str | None] = None
    blob_id: BlobRef[BlobId]
    is_active: ServerSet[Indexed[bool]] = False


class SieveScriptSetArguments(SetArguments, kw_only=True):
    """SieveScript/set (§2.4). Ids are strings, since one that is no Id must be ignored."""

    on_success_activate_script: str | None = None
    on_success_deactivate_script: bool | None = None


class ScriptLimits(Struct, frozen=True):
    """What an account may have (§1.2.1): scripts, octets of each, redirects of one message."""

    max_scripts: int
    max_size: int
    max_redirects: int


class ScriptHooks(Hooks):
    """Checks names and contents, and keeps at most one script active."""

    def __init__(self, limits: ScriptLimits, check: Check) -> None:
        self._limits, self._check = limits, check

    async def prepare(self, ctx: Access, draft: Draft) -> None:
        await self._check_content(ctx, draft.given)

    async def prepare_update(self, ctx: Access, id: Id, changes: JsonObject) -> None:
        await self._check_content(ctx, changes)

    async def _check_content(self, ctx: Access, given: JsonObject) -> None:
        blob_id = given.get("blobId")
        # What is no string is refused by the shape.
        if isinstance(blob_id, str):
            await check_blob(ctx, blob_id, self._limits.max_size, self._check)

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        if await tx.count("SieveScript") >= self._limits.max_scripts:
            raise SetError.over_quota(f"At most {self._limits.max_scripts} scripts.")
        await self._name(tx, record)

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        if new["name"] != old["name"]:
            await self._name(tx, new)

    async def _name(self, tx: Transaction, record: JsonObject) -> None:
        if record["name"] is None:
            record["name"] = await free_name(tx)
        else:
            record["name"] = checked_name(record["name"])

    async def check_destroy(
        self, ctx: Access, tx: Transaction, old: JsonObject, arguments: SetArguments
    ) -> None:
        # Whatever the same call would deactivate after that (§2.4).
        if old["isActive"]:
            raise SetError("sieveIsActive", "Deactivate the script first, in a call of its own.")

    async def succeeded(
        self, ctx: Access, tx: Transaction, created: Mapping[Id, Id], arguments: SetArguments
    ) -> Mapping[Id, JsonObject]:
        """Activate and deactivate (§2.4): the former after the latter, and only what exists."""
        assert isinstance(arguments, SieveScriptSetArguments)
        chosen = await _existing(ctx, tx, created, arguments.on_success_activate_script)
        if chosen is None and not arguments.on_success_deactivate_script:
            return {}
        told: dict[Id, JsonObject] = {}
        active = await tx.select("SieveScript", Eq("isActive", True))
        for id in active:
            if id != chosen:
                await tx.update("SieveScript", id, {"isActive": False})
                told[id] = {"isActive": False}
        if chosen is not None:
            if chosen not in active:
                await tx.update("SieveScript", chosen, {"isActive": True})
            told[chosen] = {"isActive": True}
        return told


async def _existing(ctx: Access, tx: Transaction, created: Mapping[Id, Id], key: str | None) -> Id | None:
    """The id of the script that a client named, by "#" and a creation id maybe; None: there is none."""
    if key is not None and key.startswith("#"):
        key = created.get(key[1:]) or ctx.created_ids.get(key[1:])
    if key is None:
        return None
    return key if await tx.get("SieveScript", [key], frozenset()) else None


def account_capability(limits: ScriptLimits, extensions: tuple[str, ...]) -> JsonObject:
    """``urn:ietf:params:jmap:sieve`` of an account (§1.2.1)."""
    return {
        "maxSizeScriptName": MAX_NAME_SIZE,
        "maxSizeScript": limits.max_size,
        "maxNumberScripts": limits.max_scripts,
        "maxNumberRedirects": limits.max_redirects,
        "sieveExtensions": list(extensions),
        # URI schemes of ``notify`` (RFC 5435); lists outside of the script (RFC 6134) are not supported.
        "notificationMethods": ["mailto"] if "enotify" in extensions else None,
        "externalLists": None,
    }


def sieve_script_type(
    limits: ScriptLimits, check: Check, extensions: tuple[str, ...], implementation: str
) -> DataType:
    """The SieveScript data type. ``implementation``: name and version of what runs the scripts."""
    return DataType(
        name="SieveScript",
        capability=CAPABILITY,
        shape=SieveScript,
        prefix="s",
        # RFC 9661 has no /changes: an account has few scripts.
        methods=("get", "set", "query"),
        filters={"name": contains("name"), "isActive": equals("isActive")},
        sorts={"name": by("name", "i;unicode-casemap"), "isActive": by("isActive")},
        default_sort=(Order("name", collation="i;unicode-casemap"),),
        hooks=ScriptHooks(limits, check),
        unique=(Unique(("name",)),),
        set_arguments=SieveScriptSetArguments,
        extra=(ValidateMethod(limits.max_size, check).method(),),
        account_capability=account_capability(limits, extensions),
        session_capability=_session(implementation),
    )


def _session(implementation: str) -> Mapping[str, Any]:
    return {"implementation": implementation}
