"""JSON Pointers and PatchObjects (RFC 6901; RFC 8620 §5.3)."""

from collections.abc import Mapping
from typing import Any

from veredus.wire.errors import SetError
from veredus.wire.types import JsonObject

MAX_DEPTH = 100


def tokens(pointer: str) -> list[str]:
    """The reference tokens of a JSON Pointer without its leading ``/``, unescaped.

    Raises ValueError for a ``~`` that is not ``~0`` or ``~1``.
    """
    parts = pointer.split("/")
    if "~" in pointer:
        parts = [_unescape(part) for part in parts]
    return parts


def _unescape(token: str) -> str:
    if "~" in token.replace("~0", "").replace("~1", ""):
        raise ValueError(f"bad escape in the JSON Pointer token {token!r}")
    return token.replace("~1", "/").replace("~0", "~")


def escape(token: str) -> str:
    """``token`` as one reference token of a JSON Pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def apply(record: Mapping[str, Any], patch: Mapping[str, Any], defaults: Mapping[str, Any]) -> JsonObject:
    """``record`` with ``patch`` applied; neither argument is changed (§5.3).

    ``defaults`` gives the value that null restores at the top level; a property
    without a default becomes null there. Below the top level null removes the member.
    Raises ``SetError`` invalidPatch.
    """
    result = dict(record)
    owned: dict[tuple[str, ...], JsonObject] = {(): result}
    parsed = _parse(patch)
    for path, value in parsed:
        if len(path) == 1:
            name = path[0]
            result[name] = defaults.get(name) if value is None and name in defaults else value
            continue
        parent = _parent(result, path, owned)
        if value is None:
            parent.pop(path[-1], None)
        else:
            parent[path[-1]] = value
    return result


def _parse(patch: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """The paths of the patch; no path may be a prefix of another."""
    try:
        parsed = [(tuple(tokens(pointer)), value) for pointer, value in patch.items()]
    except ValueError as error:
        raise SetError.invalid_patch(str(error)) from None
    if len(parsed) == 1 and len(parsed[0][0]) <= MAX_DEPTH:
        return parsed  # nearly always: one keyword, one mailbox
    if any(len(path) > 1 for path, _ in parsed):
        paths = {path for path, _ in parsed}
        for path in paths:
            if len(path) > MAX_DEPTH:
                raise SetError.invalid_patch("A pointer is nested too deeply.")
            for length in range(1, len(path)):
                if path[:length] in paths:
                    raise SetError.invalid_patch(
                        f"{'/'.join(path[:length])!r} is a prefix of another pointer."
                    )
    return parsed


def _parent(
    result: JsonObject, path: tuple[str, ...], owned: dict[tuple[str, ...], JsonObject]
) -> JsonObject:
    """The object that holds the last token of ``path``, copied once so that the original stays whole."""
    node = result
    for depth in range(1, len(path)):
        prefix = path[:depth]
        if prefix in owned:
            node = owned[prefix]
            continue
        child = node.get(path[depth - 1])
        if isinstance(child, list):
            raise SetError.invalid_patch(f"{'/'.join(path)!r} points inside an array.")
        if not isinstance(child, dict):
            raise SetError.invalid_patch(f"{'/'.join(prefix)!r} is not an object.")
        copy = dict(child)
        node[path[depth - 1]] = copy
        node = owned[prefix] = copy
    return node
