"""Identity: an address that a user may send from (RFC 8621 §6), and who may use which.

An address ``*@example.com`` in the directory allows an account every address of the domain; an Identity may
have the same form.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from veredus.conditions import Eq
from veredus.formats.smtp_syntax import Refusal, path
from veredus.ports import Snapshot, Transaction
from veredus.schema import Access, DataType, Draft, Hooks, Immutable, Indexed, Object, ServerSet
from veredus.wire.arguments import SetArguments
from veredus.wire.errors import SetError
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject

CAPABILITY = "urn:ietf:params:jmap:submission"
TYPE, PREFIX = "Identity", "i"


class EmailAddress(Struct, forbid_unknown_fields=True):
    """RFC 8621 §4.1.2.3."""

    email: str
    name: str | None = None


class Identity(Object):
    """Properties of an Identity (§6)."""

    id: ServerSet[Id]
    name: str = ""
    email: Immutable[str]
    reply_to: list[EmailAddress] | None = None
    bcc: list[EmailAddress] | None = None
    text_signature: str = ""
    html_signature: str = ""
    may_delete: ServerSet[Indexed[bool]] = True


def is_mailbox(address: str) -> bool:
    """Whether it is a Mailbox (RFC 5321 §4.1.2), one beyond ASCII too (RFC 6531 §3.3)."""
    if "@" not in address or address.startswith("@"):  # postmaster alone, a source route
        return False
    try:
        _, parameters = path("TO", f"TO:<{address}>")
    except Refusal:
        return False
    return not parameters


def may_use(own: Iterable[str], address: str, separator: str) -> bool:
    """Whether ``address`` is one of ``own``, a sub-address of one, or in a domain that is owned whole.

    ``separator``: of sub-addresses (RFC 5233); "": there are none. Case does not matter.
    """
    local, _, domain = address.lower().rpartition("@")
    plain = local.split(separator, 1)[0] if separator else local
    return not {f"{name}@{domain}" for name in (local, plain, "*")}.isdisjoint(map(str.lower, own))


class IdentityHooks(Hooks):
    """What the shape of an Identity cannot say."""

    def __init__(self, separator: str) -> None:
        self._separator = separator

    async def prepare(self, ctx: Access, draft: Draft) -> None:
        await ctx.addresses()

    async def check_create(self, ctx: Access, tx: Transaction, record: JsonObject) -> None:
        email = record["email"]
        if not is_mailbox(email):
            raise SetError.invalid_properties(["email"], "Not an address, nor *@ and a domain.")
        if not may_use(await ctx.addresses(), email, self._separator):
            raise SetError("forbiddenFrom", "This address does not belong to the account.")
        _check_addresses(record)

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        _check_addresses(new)

    async def check_destroy(
        self, ctx: Access, tx: Transaction, old: JsonObject, arguments: SetArguments
    ) -> None:
        if not old["mayDelete"]:
            raise SetError.forbidden("The Identity of the account's own address stays.")


def _check_addresses(record: JsonObject) -> None:
    """Those for Reply-To and Bcc are addresses; brings them into the form that they are given out in."""
    bad = []
    for name in ("replyTo", "bcc"):
        if record[name] is not None:
            record[name] = [{"name": one.get("name"), "email": one["email"]} for one in record[name]]
            if not all(is_mailbox(one["email"]) for one in record[name]):
                bad.append(name)
    if bad:
        raise SetError.invalid_properties(bad, "Not an address.")


async def provide(ctx: Access) -> None:
    """Give the account the Identity of its own address, with ``mayDelete`` false, if it has none.

    That is when an account is new, when it is older than this data type, and when the address was taken away:
    then the old Identity may be destroyed, too.
    """
    addresses = await ctx.addresses()
    if not addresses:
        return
    async with ctx.read() as snapshot:
        if _is_provided(await _kept(snapshot), addresses):
            return
    async with ctx.write() as tx:
        kept = await _kept(tx)
        if _is_provided(kept, addresses):
            return
        for identity in kept:
            await tx.update(TYPE, identity["id"], {"mayDelete": True})
        await tx.put(TYPE, default_identity(ctx.account.name, addresses))


async def _kept(snapshot: Snapshot) -> list[JsonObject]:
    return await snapshot.get(TYPE, await snapshot.select(TYPE, Eq("mayDelete", False)), {"email"})


def _is_provided(kept: Iterable[JsonObject], addresses: Sequence[str]) -> bool:
    return any(identity["email"].lower() in addresses for identity in kept)


def default_identity(name: str, addresses: Sequence[str]) -> JsonObject:
    """An Identity of the first of the addresses. ``name``: of the account."""
    email = next((one for one in addresses if not one.startswith("*@")), addresses[0])
    return {
        "id": new_id(PREFIX),
        # Accounts without a name of their own are called by their address.
        "name": "" if name.lower() in addresses else name,
        "email": email,
        "replyTo": None,
        "bcc": None,
        "textSignature": "",
        "htmlSignature": "",
        "mayDelete": False,
    }


def identity_type(separator: str, capability: JsonObject) -> DataType:
    """The Identity data type. ``capability``: what the account's says of submission (§1.3.2)."""
    return DataType(
        name=TYPE,
        capability=CAPABILITY,
        shape=Identity,
        prefix=PREFIX,
        methods=("get", "changes", "set"),
        hooks=IdentityHooks(separator),
        provide=provide,
        account_capability=capability,
    )
