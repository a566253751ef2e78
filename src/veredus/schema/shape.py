"""The shape of a data type: its properties as annotated fields, and what is special about them."""

import builtins
from collections.abc import Callable
from enum import Enum
from functools import cached_property
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec
from msgspec import NODEFAULT, Struct

from veredus.wire.types import Date, Id, UTCDate

T = TypeVar("T")


class Mark(Enum):
    """What is special about a property."""

    SERVER_SET = "server-set"  # a client may not choose it
    IMMUTABLE = "immutable"  # a client may choose it at creation only
    INDEXED = "indexed"  # found by an index: a scalar by value, a map or list by its members
    BLOB = "blob"  # holds the id of a blob that the record keeps alive, or a list of them
    INTERNAL = "internal"  # ours alone: neither given out nor taken
    COLD = "cold"  # rarely read: kept apart
    LIVE = "live"  # often changed: kept apart
    CASELESS = "caseless"  # a map whose keys have no case: patched, and kept by its hooks, in lower case


ServerSet: TypeAlias = Annotated[T, Mark.SERVER_SET]
Immutable: TypeAlias = Annotated[T, Mark.IMMUTABLE]
Indexed: TypeAlias = Annotated[T, Mark.INDEXED]
BlobRef: TypeAlias = Annotated[T, Mark.BLOB]
Internal: TypeAlias = Annotated[T, Mark.INTERNAL]
Cold: TypeAlias = Annotated[T, Mark.COLD]
Live: TypeAlias = Annotated[T, Mark.LIVE]
Caseless: TypeAlias = Annotated[T, Mark.CASELESS]


class ObjectMeta(msgspec.StructMeta):
    """Makes every shape keyword-only with camelCase names, so that none has to say so."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        return super().__new__(
            mcls, name, bases, namespace, **{"kw_only": True, "rename": "camel", **options}
        )


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class Object(Struct, metaclass=ObjectMeta):
    """Base of a shape: each field is a property, its type the validator, its default that of the property."""


class Property(Struct, frozen=True, dict=True):
    """One property of a shape, by its wire name."""

    name: str
    type: Any
    marks: frozenset[Mark]
    required: bool
    default: Any
    # Whether the value holds ids of other records, which may be given as "#" and a creation id.
    refers: bool

    def check(self, value: Any) -> bool:
        """Whether ``value``, decoded JSON, is of the property's type."""
        try:
            msgspec.convert({"value": value}, self._box)
        except msgspec.ValidationError:
            return False
        return True

    @cached_property
    def _box(self) -> type[Struct]:
        """A Struct with one field of the type: msgspec looks up a class faster than an annotation."""
        return msgspec.defstruct("Box", [("value", self.type)])

    @cached_property
    def is_text(self) -> bool:
        """Whether it is a string that has a collation: not an id, a date or one of a few words."""
        return _is_text(self.type)

    @cached_property
    def kinds(self) -> frozenset[builtins.type]:
        """The Python types that its JSON values may have."""
        return _kinds(self.type)

    def replace_ids(self, value: Any, look_up: Callable[[str], str]) -> Any:
        """``value`` with each id in it that begins with "#" replaced: a creation id (RFC 8620 §5.3)."""
        return _replaced(self.type, value, look_up) if self.refers else value


_ID_META = get_args(Id)[1]
_NOT_TEXT = (_ID_META, get_args(Date)[1], get_args(UTCDate)[1])


def _inside(type: Any) -> tuple[Any, ...]:
    """The members of a union; else the type alone. Without annotations."""
    while get_origin(type) is Annotated:
        type = get_args(type)[0]
    if get_origin(type) in (Union, UnionType):
        return tuple(inner for member in get_args(type) for inner in _inside(member))
    return (type,)


def _kinds(type: Any) -> frozenset[builtins.type]:
    found: set[builtins.type] = set()
    for inner in _inside(type):
        origin = get_origin(inner)
        if origin is Literal:
            found |= {value.__class__ for value in get_args(inner)}
        elif inner is float:
            found |= {int, float}
        elif inner is Any:
            found |= {str, int, float, bool, NoneType, list, dict}
        elif inner is not None and inner in (str, int, bool, NoneType):
            found.add(inner)
        else:
            found.add(list if origin in (list, tuple, set, frozenset) else dict)
    return frozenset(found)


def _is_text(type: Any) -> bool:
    if get_origin(type) is Annotated:
        inner, *extras = get_args(type)
        return not any(extra in _NOT_TEXT for extra in extras) and _is_text(inner)
    if get_origin(type) in (Union, UnionType):
        return any(_is_text(member) for member in get_args(type))
    return type is str


def _replaced(type: Any, value: Any, look_up: Callable[[str], str]) -> Any:
    """Only where the type says Id: other strings may begin with "#", too."""
    origin, arguments = get_origin(type), get_args(type)
    if origin is Annotated:
        if isinstance(value, str):
            return look_up(value) if value.startswith("#") and _mentions_id(type) else value
        return _replaced(arguments[0], value, look_up)
    if origin in (Union, UnionType):
        for member in arguments:
            if _mentions_id(member):
                value = _replaced(member, value, look_up)
    elif isinstance(value, list) and origin in (list, set, frozenset, tuple):
        return [_replaced(arguments[0], item, look_up) for item in value]
    elif isinstance(value, dict) and origin is dict:
        of_key, of_value = arguments
        return {
            _replaced(of_key, key, look_up): _replaced(of_value, item, look_up) for key, item in value.items()
        }
    return value


def _mentions_id(type: Any) -> bool:
    if get_origin(type) is Annotated and _ID_META in get_args(type)[1:]:
        return True
    return any(_mentions_id(argument) for argument in get_args(type))


def _marks(type: Any) -> frozenset[Mark]:
    """The marks around a type, however nested (``ServerSet[Indexed[Id]]``)."""
    if get_origin(type) is not Annotated:
        return frozenset()
    inner, *extras = get_args(type)
    return _marks(inner) | {extra for extra in extras if isinstance(extra, Mark)}


def properties_of(shape: type[Object]) -> dict[str, Property]:
    """The properties of a shape by wire name, in order of declaration."""
    hints = get_type_hints(shape, include_extras=True)
    found = {}
    for field in msgspec.structs.fields(shape):
        type = hints[field.name]
        required = field.required
        default = None
        if field.default is not NODEFAULT:
            default = field.default
        elif field.default_factory is not NODEFAULT:
            default = field.default_factory()
        found[field.encode_name] = Property(
            name=field.encode_name,
            type=type,
            marks=_marks(type),
            required=required,
            default=msgspec.to_builtins(default),
            refers=field.encode_name != "id" and _mentions_id(type),
        )
    return found


def is_collection(type: Any) -> bool:
    """Whether its values are maps or lists."""
    origin = get_origin(type)
    if origin is Annotated:
        return is_collection(get_args(type)[0])
    if origin in (dict, list, set, frozenset, tuple):
        return True
    return any(is_collection(argument) for argument in get_args(type)) if origin is not None else False
