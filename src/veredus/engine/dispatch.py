"""From a request to a response's bytes (RFC 8620 §3): decode, call by call, encode."""

from copy import copy
from typing import Any

import msgspec
import structlog

from veredus.engine.call import Call, RequestScope, Services
from veredus.engine.references import resolve
from veredus.engine.registry import Entry, Registry
from veredus.engine.snapshots import Snapshots
from veredus.ports import AccountInfo, Identity, Overtaken, Unavailable
from veredus.wire import json
from veredus.wire.arguments import Request, Response
from veredus.wire.errors import MethodError, RequestError
from veredus.wire.types import Id, JsonObject

log = structlog.get_logger()

_NO_ACCOUNT = AccountInfo("", "", False, "write")


class Dispatcher:
    """Runs the method calls of a request one after another."""

    def __init__(self, registry: Registry, services: Services) -> None:
        self._registry, self._services = registry, services
        self._limits = services.limits.by_name()

    async def answer(self, document: Any, identity: Identity, session_state: str) -> bytes:
        """The Response object, as JSON, to a Request object as ``decode`` gives it. Raises RequestError."""
        request = self._read(document)
        accounts = {account.id: account for account in await self._services.directory.accounts(identity.user)}
        responses: list[tuple[str, Any, str]] = []
        created_ids: dict[Id, Id] = dict(request.created_ids or {})

        async def implicit(name: str, arguments: JsonObject, call_id: str) -> JsonObject | None:
            # The call that made this one may have written already.
            await scope.snapshots.prefer(optimistic=False)
            result, response = await self._call(scope, name, arguments, call_id, is_implicit=True)
            extra.append((result, response, call_id))
            return None if result == "error" else response

        extra: list[tuple[str, Any, str]] = []
        snapshots = Snapshots(self._services.store)
        scope = RequestScope(
            services=self._services,
            snapshots=snapshots,
            identity=identity,
            using=frozenset(request.using),
            created_ids=created_ids,
            accounts=accounts,
            types=self._registry.types,
            limits=self._limits,
            implicit=implicit,
        )
        try:
            for invocation in request.method_calls:
                try:
                    arguments = resolve(invocation.arguments, responses)
                except MethodError as error:
                    responses.append(("error", error.to_json(), invocation.call_id))
                    continue
                await snapshots.prefer(optimistic=self._is_reading(invocation.name))
                result, response = await self._call(scope, invocation.name, arguments, invocation.call_id)
                responses.append((result, response, invocation.call_id))
                # §5.4: implicit calls are answered after the call that caused them.
                responses.extend(extra)
                extra.clear()
        finally:
            await snapshots.end()
        answered = created_ids if request.created_ids is not None else None
        return json.encode(Response(responses, session_state, answered))

    def _read(self, document: Any) -> Request:
        try:
            request = msgspec.convert(document, Request)
        except msgspec.ValidationError as error:
            raise RequestError.not_request(f"Not a Request object: {error}") from None
        for uri in request.using:
            if uri not in self._registry.capabilities:
                raise RequestError.unknown_capability(uri)
        most = self._services.limits.max_calls_in_request
        if len(request.method_calls) > most:
            raise RequestError.over_limit("maxCallsInRequest", f"At most {most} method calls in one request.")
        return request

    def _is_reading(self, name: str) -> bool:
        entry = self._registry.methods.get(name)
        return entry is not None and not entry.writes

    async def _call(
        self,
        scope: RequestScope,
        name: str,
        arguments: JsonObject,
        call_id: str,
        *,
        is_implicit: bool = False,
    ) -> tuple[str, Any]:
        """The name and arguments of the response to one method call.

        ``is_implicit``: it is part of another call, whose capability is in use.
        """
        try:
            entry = self._registry.methods.get(name)
            if entry is None or not (is_implicit or entry.capability in scope.using):
                raise MethodError.unknown_method(name)
            account = _account(scope, entry, arguments)
            return name, await _run(scope, entry, Call(scope, account, call_id), arguments)
        except MethodError as error:
            return "error", error.to_json()
        except Unavailable:
            log.warning("method unavailable", method=name, exc_info=True)
            return "error", MethodError.server_unavailable().to_json()
        except Exception:
            # A bug: logged in full, told without a word of it.
            log.exception("method failed", method=name, call=call_id[:50])
            return "error", MethodError.server_fail("The server has a fault; it was logged.").to_json()


async def _run(scope: RequestScope, entry: Entry, call: Call, arguments: JsonObject) -> Any:
    """The response. A call that was overtaken by a change is made once more, on a view that cannot be."""
    budget = copy(scope.budget)
    try:
        return await entry.run(call, _typed(entry, arguments))
    except Overtaken:
        scope.budget = budget
        await scope.snapshots.prefer(optimistic=False)
        return await entry.run(call, _typed(entry, arguments))


def decode(body: bytes) -> Any:
    """A document of I-JSON. Raises RequestError."""
    try:
        return json.decode(body)
    except json.NotIJson as error:
        raise RequestError.not_json(str(error)) from None


def _account(scope: RequestScope, entry: Entry, arguments: JsonObject) -> AccountInfo:
    """The account of the call (§3.6.2)."""
    if not entry.needs_account:
        return _NO_ACCOUNT
    account_id = arguments.get("accountId")
    if not isinstance(account_id, str):
        raise MethodError.invalid_arguments("accountId is missing or not a string.")
    account = scope.accounts.get(account_id)
    if account is None:
        raise MethodError.account_not_found()
    if entry.writes:
        if account.access != "write":
            raise MethodError.account_read_only()
        if scope.identity.scope != "write":
            raise MethodError.forbidden("These credentials are for reading only.")
    return account


def _typed(entry: Entry, arguments: JsonObject) -> Any:
    """Arguments checked against their type."""
    try:
        return msgspec.convert(arguments, entry.arguments)
    except msgspec.ValidationError as error:
        raise MethodError.invalid_arguments(str(error)) from None
