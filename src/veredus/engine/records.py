"""The records of one /set call: attempts at creating, updating and destroying them (RFC 8620 §5.3)."""

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from veredus.engine.get import complete, stored_records
from veredus.engine.order import creation_order
from veredus.ports import Transaction
from veredus.schema import Access, Changed, DataType, Draft, Mark, Property
from veredus.wire import patch
from veredus.wire.arguments import SetArguments
from veredus.wire.errors import SetError
from veredus.wire.ids import new_id
from veredus.wire.types import Id, JsonObject


class Operation(Struct, frozen=True):
    """One record of the call: ``key`` is its creation id, or its id as the client wrote it."""

    kind: Literal["create", "update", "destroy"]
    key: str


class Created(Struct):
    """A created record, and what the client is told of it."""

    id: Id
    report: JsonObject


_MAY_NOT = "Missing, unknown, of a wrong type, not to be set by a client, or a creation id of no record."


class _Unresolved(Exception):
    """A creation id refers to a record that is not there (yet)."""


class Run:
    """The state of one attempt at a /set call."""

    def __init__(
        self,
        ctx: Access,
        type: DataType,
        args: SetArguments,
        drafts: Mapping[str, Draft],
        failed: dict[Operation, SetError],
    ) -> None:
        self.ctx, self.type, self.args, self.drafts = ctx, type, args, drafts
        self.failed = failed
        self.created: dict[str, Created] = {}
        self.updated: dict[Id, JsonObject | None] = {}
        self.destroyed: list[Id] = []
        self.changed: list[Changed] = []
        # By id of each record touched: the operation, the record before (not if created) and after.
        self.operations: dict[Id, Operation] = {}
        self.before: dict[Id, JsonObject] = {}
        self.final: dict[Id, JsonObject] = {}
        # By id, each record with which something was done, as it is now or was at last.
        self.succeeded: dict[Id, JsonObject] = {}
        # A singleton stays, so an update of it is done whatever else is asked for.
        self._doomed = set() if type.is_singleton else set(args.destroy or ())

    async def attempt_all(self, tx: Transaction) -> None:
        """Try each operation, and again those that failed as long as something succeeds."""
        args = self.args
        pending = [Operation("create", key) for key in creation_order(self.type, self.drafts)]
        pending += [Operation("update", key) for key in args.update or ()]
        pending += [Operation("destroy", key) for key in dict.fromkeys(args.destroy or ())]
        pending = [operation for operation in pending if operation not in self.failed]
        loaded = await self._load(tx)
        while pending:
            errors: dict[Operation, SetError] = {}
            for operation in pending:
                try:
                    await self._attempt(tx, operation, loaded)
                except SetError as error:
                    errors[operation] = error
            if not errors or len(errors) == len(pending):
                self.failed.update(errors)
                return
            pending = list(errors)

    async def _load(self, tx: Transaction) -> dict[Id, JsonObject]:
        """The records to be updated, fetched at once."""
        updates = self.args.update
        if not updates:
            return {}
        names: set[str] | None = None
        if self.type.update_needs is not None and not self.type.is_singleton:
            mentioned = {pointer.split("/", 1)[0] for changes in updates.values() for pointer in changes}
            names = {*self.type.update_needs, *(name for name in mentioned if name in self.type.properties)}
        ids = [key for key in updates if not key.startswith("#")]
        found = await stored_records(tx, self.type, ids, names)
        return {record["id"]: record for record in found}

    async def _attempt(self, tx: Transaction, operation: Operation, loaded: Mapping[Id, JsonObject]) -> None:
        try:
            if operation.kind == "create":
                await self._create(tx, operation)
            elif operation.kind == "update":
                await self._update(tx, operation, loaded)
            else:
                await self._destroy(tx, operation)
        except _Unresolved as reference:
            raise SetError.invalid_properties(
                [str(reference)], "A creation id refers to no record."
            ) from None

    def _texts(self, record: JsonObject) -> dict[str, str] | None:
        return None if self.type.text_of is None else dict(self.type.text_of(record))

    # Creation

    async def _create(self, tx: Transaction, operation: Operation) -> None:
        draft = self.drafts[operation.key]
        if draft.record is None:
            record = self._from_shape(draft.given)
        else:
            record = dict(draft.record)
            for name in [
                name for name, prop in self.type.properties.items() if prop.refers and name in record
            ]:
                record[name] = self._resolved(self.type.properties[name], record[name])
        # The same in every attempt: an error may have named it (existingId).
        draft.id = record.setdefault("id", draft.id or new_id(self.type.prefix))
        await self.type.hooks.check_create(self.ctx, tx, record)
        await tx.put(self.type.name, record, draft.texts or self._texts(record))
        self.created[operation.key] = Created(record["id"], self._report(draft, record))
        self.succeeded[record["id"]] = record
        self._note(operation, record["id"], None, record)

    def _from_shape(self, given: JsonObject) -> JsonObject:
        """The whole record: defaults, and what the client gave, checked against the shape."""
        bad = []
        record: JsonObject = {}
        visible = self.type.visible
        for name, prop in self.type.properties.items():
            if name in given and name in visible and Mark.SERVER_SET not in prop.marks:
                value = given[name]
                if value is None and not prop.required and not prop.check(None):
                    value = prop.default
                try:
                    record[name] = self._resolved(prop, value)
                except _Unresolved:
                    bad.append(name)
                    continue
                if not prop.check(record[name]):
                    bad.append(name)
            elif prop.required and Mark.SERVER_SET not in prop.marks:
                bad.append(name)
            elif name != "id":
                record[name] = prop.default
        bad += [
            name
            for name in given
            if name not in visible or Mark.SERVER_SET in self.type.properties[name].marks
        ]
        if bad:
            raise SetError.invalid_properties(dict.fromkeys(bad), _MAY_NOT)
        return record

    def _report(self, draft: Draft, record: JsonObject) -> JsonObject:
        if draft.record is not None:
            return {name: record.get(name) for name in ("id", *draft.report)}
        given = draft.given
        return {
            name: record.get(name)
            for name in self.type.visible
            if name not in given or given[name] != record.get(name)
        }

    async def rename(self, tx: Transaction, ids: Mapping[Id, Id]) -> None:
        """Report created records as they are under the ids that they have got since."""
        for created in self.created.values():
            if created.id in ids:
                created.id = ids[created.id]
                records = await tx.get(self.type.name, [created.id], set(created.report))
                created.report = {name: records[0].get(name) for name in created.report}

    @property
    def created_ids(self) -> dict[Id, Id]:
        """The ids of the created records by creation id."""
        return {key: created.id for key, created in self.created.items()}

    def tell(self, changes: Mapping[Id, JsonObject]) -> None:
        """Report properties that records got after their own operations."""
        created = {one.id: one.report for one in self.created.values()}
        for id, properties in changes.items():
            if id in created:
                created[id].update(properties)
            else:
                self.updated[id] = {**(self.updated.get(id) or {}), **properties}

    async def complete_created(self, tx: Transaction) -> None:
        """Add computed properties to the reports, once all derived values are in place."""
        for computed in self.type.computed:
            names = [name for name in computed.names if not name.endswith(":")]
            shown = self.type.default_properties is None
            ids = [
                self.created[key].id
                for key, draft in self.drafts.items()
                if key in self.created and not draft.record
            ]
            if not (ids and names and shown):
                continue
            records = await tx.get(self.type.name, ids, set(computed.needs))
            get_args = self.type.get_arguments(account_id=self.args.account_id)
            values = await complete(self.ctx, tx, records, (), [(computed, names)], get_args)
            by_id = {value["id"]: value for value in values}
            for created in self.created.values():
                created.report.update(by_id.get(created.id, {}))

    # Update

    async def _update(self, tx: Transaction, operation: Operation, loaded: Mapping[Id, JsonObject]) -> None:
        id = self._target(operation.key)
        old = self.final.get(id) or loaded.get(id)
        if old is None and operation.key.startswith("#"):
            old = next(iter(await tx.get(self.type.name, [id])), None)
        if old is None:
            raise SetError.not_found()
        if operation.key in self._doomed or id in self._doomed:
            raise SetError.will_destroy()
        changes = self.args.update[operation.key] if self.args.update else {}
        expected = await self._patched(tx, old, changes)
        new = dict(expected)
        await self.type.hooks.check_update(self.ctx, tx, old, new)
        different = {name: value for name, value in new.items() if name not in old or old[name] != value}
        if different:
            texts = self._texts(new)
            if not self.type.is_singleton and (texts is None or texts == self._texts(old)):
                await tx.update(self.type.name, id, different)
            else:
                await tx.put(self.type.name, new, texts)
            self._note(operation, id, old, new)
        corrected = {name: value for name, value in new.items() if expected.get(name) != value}
        self.updated[id] = corrected or None
        self.succeeded[id] = new

    async def _patched(self, tx: Transaction, old: JsonObject, changes: JsonObject) -> JsonObject:
        """``old`` with the PatchObject applied and checked against the shape."""
        stored: JsonObject = {}
        others: JsonObject = {}
        for pointer, value in changes.items():
            name, slash, _ = pointer.partition("/")
            if name not in self.type.visible:
                others[pointer] = value
                continue
            if slash and Mark.CASELESS in self.type.properties[name].marks:
                # Two pointers to one member: RFC 8620 §5.3 allows no pointer to be a prefix of another.
                pointer = name + pointer[len(name) :].lower()
                if pointer in stored:
                    raise SetError.invalid_patch(f"{pointer!r} is given twice.")
            stored[pointer] = value
        new = patch.apply(old, stored, self.type.defaults)
        bad = await self._differing(tx, old, others)
        for name in dict.fromkeys(pointer.split("/", 1)[0] for pointer in stored):
            prop = self.type.properties[name]
            try:
                new[name] = self._resolved(prop, new.get(name))
            except _Unresolved:
                bad.append(name)
                continue
            fixed = Mark.SERVER_SET in prop.marks or Mark.IMMUTABLE in prop.marks
            if not prop.check(new[name]) or (fixed and new[name] != old.get(name)):
                bad.append(name)
        if bad:
            raise SetError.invalid_properties(dict.fromkeys(bad), _MAY_NOT)
        return new

    async def _differing(self, tx: Transaction, old: JsonObject, given: JsonObject) -> list[str]:
        """What is not stored may be given only as it is (§5.3); the names of the other properties."""
        bad = []
        for name, value in given.items():
            used = [(computed, [name]) for computed in self.type.computed if computed.covers(name)]
            now: list[JsonObject] = []
            if used:
                records = await tx.get(self.type.name, [old["id"]], set(used[0][0].needs))
                args = self.type.get_arguments(account_id=self.args.account_id)
                now = await complete(self.ctx, tx, records, (), used, args)
            if not now or name not in now[0] or now[0][name] != value:
                bad.append(name.split("/", 1)[0])
        return bad

    # Destruction

    async def _destroy(self, tx: Transaction, operation: Operation) -> None:
        id = self._target(operation.key)
        old = self.final.get(id) or next(iter(await stored_records(tx, self.type, [id])), None)
        if old is None:
            raise SetError.not_found()
        if self.type.is_singleton:
            raise SetError.singleton()
        await self.type.hooks.check_destroy(self.ctx, tx, old, self.args)
        await tx.delete(self.type.name, id)
        self.destroyed.append(id)
        self.succeeded[id] = old
        self.changed.append(Changed(old, None))
        self.final.pop(id, None)

    # Creation ids

    def _target(self, key: str) -> Id:
        """The id of a record to update or destroy, which may be given as "#" and its creation id."""
        if not key.startswith("#"):
            return key
        try:
            return self._lookup(key)
        except _Unresolved:
            raise SetError.not_found() from None

    def _lookup(self, reference: str) -> Id:
        name = reference[1:]
        if name in self.created:
            return self.created[name].id
        if name in self.drafts or name not in self.ctx.created_ids:
            raise _Unresolved(reference)
        return self.ctx.created_ids[name]

    def _resolved(self, prop: Property, value: Any) -> Any:
        """``value`` with every creation id in it replaced (§5.3)."""
        try:
            return prop.replace_ids(value, self._lookup)
        except _Unresolved:
            raise _Unresolved(prop.name) from None

    def _note(self, operation: Operation, id: Id, old: JsonObject | None, new: JsonObject) -> None:
        self.operations[id] = operation
        if old is not None:
            self.before.setdefault(id, old)
        self.final[id] = new
        self.changed.append(Changed(old, new))
