"""Finds the mistakes of a data type's declaration when the server starts, not when a client calls."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from veredus.conditions import All, Any_, Condition, Item, Not, Order, Same, Text
from veredus.schema import ALL, DataType, DeclarationError, Hooks, Mark, Method, Object, standard_arguments
from veredus.wire.arguments import (
    AccountArguments,
    Arguments,
    CopyArguments,
    GetArguments,
    QueryArguments,
    QueryChangesArguments,
    SetArguments,
)

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*\Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+\Z")
_HOOKS = frozenset(name for name in vars(Hooks) if not name.startswith("_"))
_ARGUMENTS = {
    "get": GetArguments,
    "set": SetArguments,
    "copy": CopyArguments,
    "query": QueryArguments,
    "queryChanges": QueryChangesArguments,
}
# One of these is of the type that a filter wants, so that it shows which properties it reads.
_PROBES: tuple[Any, ...] = ("x", "2026-01-01T00:00:00Z", 0, True, None, ["x"], {})


def check(type: DataType) -> None:
    """Raise DeclarationError for the first mistake found."""
    for mistake in _mistakes(type):
        raise DeclarationError(f"{type.name}: {mistake}")


def _mistakes(type: DataType) -> Iterator[str]:
    if not _NAME.match(str(type.name)):
        yield "the name must be letters and digits, as in Todo"
    yield from check_capability(type.capability)
    if Object not in type.shape.__mro__:
        yield "the shape must be a subclass of Object"
    if not re.fullmatch(r"[a-z]+", type.prefix):
        yield f"the prefix {type.prefix!r} must be lower-case letters: an id begins with it"
    yield from _shape(type)
    if type.is_singleton:
        yield from _singleton(type)
    yield from _names(type)
    yield from _methods(type)
    yield from _hooks(type.hooks)
    yield from _queries(type)


def check_capability(uri: Any) -> Iterator[str]:
    """What is wrong with the name of a capability."""
    if not isinstance(uri, str) or not _URI.match(uri):
        yield f"the capability {uri!r} must be a URI, as in https://example.com/jmap/todo"


def _shape(type: DataType) -> Iterator[str]:
    if "id" not in type.properties:
        yield "the shape has no property id"
    elif Mark.SERVER_SET not in type.properties["id"].marks:
        yield "id must be ServerSet[Id]"
    for name, prop in type.properties.items():
        if not prop.required and not prop.check(prop.default):
            yield f"the default of {name} is not of its type"
        if Mark.BLOB in prop.marks and not prop.kinds <= {str, list, None.__class__}:
            yield f"{name} is marked BlobRef, but is no string or list of strings"
        if (
            prop.required
            and Mark.INTERNAL in prop.marks
            and Mark.SERVER_SET not in prop.marks
            and not _fills(type)
        ):
            yield f"{name} is Internal and has no default: no client can give it, and no hook does"


def _singleton(type: DataType) -> Iterator[str]:
    """What must be true for its one record to be there before anybody has written it."""
    if not set(type.methods) <= {"get", "set"}:
        yield "a singleton has no methods but get and set"
    required = [name for name, prop in type.properties.items() if prop.required and name != "id"]
    if required:
        yield f"{', '.join(required)}: each property of a singleton needs a default"
    if type.shown is not None:
        yield "shown is not for a singleton"


def _fills(type: DataType) -> bool:
    """Whether hooks may fill in properties, or no record is ever created by a client."""
    hooks = type.hooks.__class__
    return (
        "set" not in type.methods
        or hooks.prepare is not Hooks.prepare
        or hooks.check_create is not Hooks.check_create
    )


def _names(type: DataType) -> Iterator[str]:
    """Properties that are spoken of and do not exist."""
    computed = {name for group in type.computed for name in group.names}
    spoken: dict[str, Iterable[str]] = {
        "unique": (name for unique in type.unique for name in unique.properties),
        "order": [type.order] if type.order else [],
        "covers": type.covers,
        "volatile": type.volatile - computed,
        "computed needs": (name for group in type.computed for name in group.needs),
        "update_needs": type.update_needs or (),
        "related_types": type.related_types,
        "default_properties": set(type.default_properties or ()) - computed,
    }
    for what, names in spoken.items():
        unknown = sorted(set(names) - set(type.properties))
        if unknown:
            yield f"{what} names unknown properties {', '.join(unknown)}"
    stored = sorted(computed & set(type.properties))
    if stored:
        yield f"{', '.join(stored)}: both stored and computed"
    if type.order and not type.properties[type.order].marks & {Mark.IMMUTABLE, Mark.SERVER_SET}:
        yield f"order is by {type.order}, which must be Immutable or ServerSet"
    if type.text_of is not None and not type.text_fields:
        yield "text_of needs text_fields"
    if type.text_of is not None and type.update_needs is not None:
        yield "text_of reads whole records: update_needs must be None"
    if (type.text_blob is None) != (type.text_in_blob is None):
        yield "text_blob and text_in_blob need each other"
    if type.text_blob is not None and Mark.BLOB not in type.properties[type.text_blob].marks:
        yield f"text_blob names {type.text_blob}, which must be a BlobRef"


def _methods(type: DataType) -> Iterator[str]:
    unknown = sorted(set(type.methods) - set(ALL))
    if unknown:
        yield f"methods has {', '.join(unknown)}; the six are {', '.join(ALL)}"
        return
    for verb, needed in (("queryChanges", "query"), ("queryChanges", "changes"), ("copy", "set")):
        if verb in type.methods and needed not in type.methods:
            yield f"{verb} needs {needed}"
    for verb in type.methods:
        base = _ARGUMENTS.get(verb)
        if base is not None and not issubclass(standard_arguments(type, verb), base):
            yield f"the arguments of {verb} must extend {base.__name__}"
    for method in type.extra:
        if not method.name.startswith(f"{type.name}/"):
            yield f"the method {method.name!r} must be called {type.name}/..."
        yield from check_method(method)


def check_method(method: Method) -> Iterator[str]:
    """What is wrong with a method beyond the six."""
    base = AccountArguments if method.needs_account else Arguments
    if not issubclass(method.arguments, base):
        yield f"the arguments of {method.name} must extend {base.__name__}"
    if not inspect.iscoroutinefunction(method.run):
        yield f"{method.name}: run must be an async function"


def _hooks(given: Any) -> Iterator[str]:
    if not isinstance(given, Hooks):
        yield "hooks must be an object of a subclass of Hooks"
        return
    for klass in given.__class__.__mro__[:-2]:
        for name, value in vars(klass).items():
            if name.startswith("_") or not inspect.isfunction(value):
                continue
            if name not in _HOOKS:
                hooks = ", ".join(sorted(_HOOKS))
                yield f"{klass.__name__}.{name} is no hook (they are {hooks}); name your own with _"
            elif not inspect.iscoroutinefunction(value):
                yield f"{klass.__name__}.{name} must be an async function"


def _queries(type: DataType) -> Iterator[str]:
    """Filters and sorts, by what they make of sample values."""
    known = set(type.properties)
    for name, build in type.filters.items():
        if name == "operator":
            yield "no filter may be called operator (RFC 8620 §5.5)"
        for condition in _built(build, _PROBES):
            yield from _unknown(type, f"the filter {name}", _read(condition), known)
    for name, sort in type.sorts.items():
        for order in _built(
            sort, ({"property": name, "isAscending": True}, {"property": name, "keyword": "x"})
        ):
            yield from _unknown(type, f"the sort {name}", _read_by(order), known)
    for order in type.default_sort:
        yield from _unknown(type, "default_sort", _read_by(order), known)


def _built(build: Any, values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        try:
            yield build(value)
        except Exception:  # noqa: S112 - the value is not one for this filter, whatever it says
            continue


def _unknown(type: DataType, what: str, read: Iterable[tuple[str, bool]], known: set[str]) -> Iterator[str]:
    for name, is_text in read:
        if name not in (type.text_fields if is_text else known):
            yield f"{what} reads {name!r}, which is no {'text field' if is_text else 'property'}"
            return


def _read_by(order: Order) -> Iterator[tuple[str, bool]]:
    if isinstance(order.by, str):
        yield order.by, False
    else:
        yield from _read(order.by)


def _read(condition: Condition) -> Iterator[tuple[str, bool]]:
    """Names of properties, and of text fields (True), that a condition reads of a record."""
    match condition:
        case All(of) | Any_(of):
            for part in of:
                yield from _read(part)
        case Not(inner):
            yield from _read(inner)
        case Same(name, where):
            yield name, False
            yield from _read(where)
        case Item(name, _):
            yield name, False
        case Text(fields, _):
            yield from ((field, True) for field in fields)
        case _:
            yield condition.property, False
