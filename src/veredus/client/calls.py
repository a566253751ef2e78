"""Method calls, and references to results that are not there yet (RFC 8620 §3.7)."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from veredus.client.errors import MethodError, NotSentError, ProtocolError
from veredus.client.record import Record
from veredus.client.results import Changes, Got, Queried, QueryChanges, SetResult
from veredus.wire.arguments import Invocation
from veredus.wire.types import Id, JsonObject

R = TypeVar("R", bound=Record)
T = TypeVar("T")
V = TypeVar("V")
S = TypeVar("S", bound=Struct)


class Reference(Struct, Generic[T], frozen=True, rename="camel"):
    """What a call of the same batch will answer at ``path``, a JSON Pointer in which ``*`` is each item."""

    result_of: str
    name: str
    path: str


Ids: TypeAlias = Sequence[Id] | Reference[list[Id]] | None


def named(kind: type[R] | str) -> tuple[str, type[R]]:
    """The data type's name, and the class of its records."""
    if isinstance(kind, str):
        # A name alone gives plain records; the overloads of the callers say so to the type checker.
        return kind, _generic(kind)  # type: ignore[return-value]
    given: object = kind
    if not (isinstance(given, type) and issubclass(given, Record)):
        raise ValueError("a data type is a class such as Email, or a name such as 'Email'")
    return kind.TYPE, kind


_GENERIC: dict[str, type[Record]] = {}


def _generic(name: str) -> type[Record]:
    """A class of records that knows its name, so that errors can say it."""
    if name not in _GENERIC:
        _GENERIC[name] = type("Record", (Record,), {"TYPE": name, "__slots__": ()})
    return _GENERIC[name]


def arguments(values: Mapping[str, Any]) -> JsonObject:
    """Arguments as they are sent: what is None is left out, what is a Reference gets its ``#``.

    Raises ValueError for a string where a list of names belongs, which Python would take for one, and for
    what is not by id.
    """
    for name in ("ids", "properties", "destroy"):
        if isinstance(values.get(name), str):
            raise ValueError(f"{name} must be a list, not a string")
    for name in ("create", "update"):
        if not isinstance(values.get(name) or {}, Mapping | Reference):
            raise ValueError(f"{name} must be a mapping by id")
    return {
        f"#{name}" if isinstance(value, Reference) else name: value
        for name, value in values.items()
        if value is not None
    }


def result(kind: type[S], answer: JsonObject, host: str, method: str) -> S:
    """The arguments of a response as a Struct; null means the same as absent. Raises ProtocolError."""
    try:
        return msgspec.convert({name: value for name, value in answer.items() if value is not None}, kind)
    except msgspec.ValidationError as error:
        raise ProtocolError(host, f"the response to {method} is not what it must be: {error}") from None


class Call(Generic[V]):
    """One call. Its result is there when the request has been answered; ``error`` when it failed."""

    answers: ClassVar[type[Struct]]

    def __init__(self, invocation: Invocation, account: Id | None) -> None:
        self.invocation, self.account = invocation, account
        self.error: MethodError | None = None
        self._result: V | None = None

    @property
    def result(self) -> V:
        """What the method answered. Raises NotSentError, MethodError."""
        if self.error is not None:
            raise self.error
        if self._result is None:
            raise NotSentError(self.invocation.name)
        return self._result

    def answered(self, name: str, answer: JsonObject, host: str) -> None:
        """Take over a response. Raises ProtocolError."""
        if name == "error":
            call = self.invocation
            self.error = MethodError(
                host, answer, method=call.name, account=self.account, call_id=call.call_id
            )
        else:
            self._result = self.decode(answer, host)

    def decode(self, answer: JsonObject, host: str) -> V:
        """Raises ProtocolError."""
        return result(self.answers, answer, host, self.invocation.name)  # type: ignore[return-value]

    def reference(self, path: str) -> Reference[Any]:
        """A reference to what this call will answer at ``path``."""
        return Reference(self.invocation.call_id, self.invocation.name, path)


class RawCall(Call[JsonObject]):
    """Any method: its arguments as they came."""

    def decode(self, answer: JsonObject, host: str) -> JsonObject:
        return answer


class GetCall(Call[Got[R]]):
    """Foo/get."""

    def __init__(self, invocation: Invocation, account: Id | None, record: Callable[[JsonObject], R]) -> None:
        super().__init__(invocation, account)
        self._record = record

    def decode(self, answer: JsonObject, host: str) -> Got[R]:
        try:
            # What belongs to no account has no state (§7.2.1).
            state = answer["state"] if self.account is not None else ""
            found = answer["list"]
        except KeyError as error:
            raise self._wrong(host, f"no {error}") from None
        if type(found) is not list or not all(type(json) is dict for json in found):
            raise self._wrong(host, "its list is not one of objects")
        return Got([self._record(json) for json in found], answer.get("notFound") or [], state)

    def _wrong(self, host: str, why: str) -> ProtocolError:
        return ProtocolError(host, f"the response to {self.invocation.name} is not what it must be: {why}")

    @property
    def list(self) -> builtins.list[R]:
        return self.result.list

    @property
    def ids_ref(self) -> Reference[builtins.list[Id]]:
        """The ids of what was found."""
        return self.reference("/list/*/id")

    def each_ref(self, property: str) -> Reference[Any]:
        """One property of all that was found; of lists, their items."""
        return self.reference(f"/list/*/{property}")


class QueryCall(Call[Queried]):
    """Foo/query."""

    answers = Queried

    @property
    def ids(self) -> list[Id]:
        return self.result.ids

    @property
    def ids_ref(self) -> Reference[list[Id]]:
        return self.reference("/ids")


class ChangesCall(Call[Changes]):
    """Foo/changes."""

    answers = Changes

    @property
    def created_ref(self) -> Reference[list[Id]]:
        return self.reference("/created")

    @property
    def updated_ref(self) -> Reference[list[Id]]:
        return self.reference("/updated")


class QueryChangesCall(Call[QueryChanges]):
    """Foo/queryChanges."""

    answers = QueryChanges

    @property
    def added_ref(self) -> Reference[list[Id]]:
        return self.reference("/added/*/id")


class SetCall(Call[SetResult]):
    """Foo/set, Foo/copy, Foo/import. Records that failed are in ``result.errors``."""

    answers = SetResult
