"""Result references (RFC 8620 §3.7): an argument that is taken out of an earlier response."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from veredus.wire.errors import MethodError
from veredus.wire.patch import tokens
from veredus.wire.types import JsonObject

Responses = Sequence[tuple[str, Any, str]]


class ResultReference(Struct, rename="camel", forbid_unknown_fields=True):
    """Where to find a value: in the response to ``result_of``, which must be ``name``, at ``path``."""

    result_of: str
    name: str
    path: str


def resolve(arguments: JsonObject, responses: Responses) -> JsonObject:
    """``arguments`` with every ``#name`` replaced by the value it refers to, as ``name``."""
    if not any(key.startswith("#") for key in arguments):
        return arguments
    resolved: JsonObject = {}
    for key, value in arguments.items():
        if not key.startswith("#"):
            resolved[key] = value
            continue
        name = key[1:]
        if name in arguments:
            raise MethodError.invalid_arguments(f"Both {name!r} and {key!r} are given.")
        resolved[name] = _look_up(key, value, responses)
    return resolved


def _look_up(key: str, value: Any, responses: Responses) -> Any:
    try:
        reference = msgspec.convert(value, ResultReference)
    except msgspec.ValidationError as error:
        raise MethodError.invalid_result_reference(f"{key}: {error}") from None
    for name, arguments, call_id in responses:
        if call_id == reference.result_of:
            if name != reference.name:
                raise MethodError.invalid_result_reference(f"{key}: the response to {call_id!r} is {name!r}.")
            return _evaluate(key, arguments, reference.path)
    raise MethodError.invalid_result_reference(f"{key}: no response to {reference.result_of!r} so far.")


def _evaluate(key: str, document: Any, path: str) -> Any:
    if path == "":
        return _plain(document)
    if not path.startswith("/"):
        raise MethodError.invalid_result_reference(f"{key}: the path does not begin with '/'.")
    try:
        return _plain(_walk(document, tokens(path[1:])))
    except (LookupError, ValueError) as error:
        raise MethodError.invalid_result_reference(f"{key}: {path!r} leads nowhere ({error}).") from None


def _walk(node: Any, path: list[str]) -> Any:
    for index, step in enumerate(path):
        node = _opened(node)
        if isinstance(node, list | tuple):
            if step == "*":
                return _mapped(node, path[index + 1 :])
            if not (step == "0" or (step.isascii() and step.isdigit() and step[0] != "0")):
                raise LookupError(f"{step!r} is no index")
            node = node[int(step)]
        elif isinstance(node, dict):
            node = node[step]
        elif isinstance(node, Struct):
            node = _member(node, step)
        else:
            raise LookupError(f"no {step!r} in a plain value")
    return node


def _mapped(items: Sequence[Any], rest: list[str]) -> list[Any]:
    """§3.7: apply the rest to each item, and flatten results that are arrays by one level."""
    if not rest:
        return list(items)
    results: list[Any] = []
    for item in items:
        found = _opened(_walk(item, rest))
        if isinstance(found, list):
            results.extend(found)
        else:
            results.append(found)
    return results


def _column(items: Sequence[Struct], name: str) -> list[Any]:
    """One member of many records of a store, decoded in one go; arrays are flattened."""
    values = [_member(item, name) for item in items]
    if all(isinstance(value, Raw) for value in values):
        values = msgspec.json.decode(b"[" + b",".join(values) + b"]")
    results: list[Any] = []
    for value in values:
        if isinstance(value, list):
            results.extend(value)
        else:
            results.append(value)
    return results


def _member(node: Struct, name: str) -> Any:
    # Records of a store have fields with the names of the wire (ports.Snapshot.project).
    if name not in node.__struct_fields__:
        raise LookupError(f"no {name!r}")
    return getattr(node, name)


def _opened(node: Any) -> Any:
    """A node that is still encoded JSON, decoded."""
    return msgspec.json.decode(node) if isinstance(node, Raw) else node


def _plain(node: Any) -> Any:
    """``node`` as plain JSON values, all the way down."""
    if isinstance(node, str):
        return node
    if isinstance(node, list) and set(map(type, node)) <= {str}:
        return node
    return msgspec.json.decode(msgspec.json.encode(node))
