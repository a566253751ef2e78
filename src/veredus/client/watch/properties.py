"""One list of properties for several data types: each is asked for those it has."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from veredus.client import mail_types
from veredus.client.calls import named
from veredus.client.record import Property, Record

Properties: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]] | None
_TYPES: dict[str, type[Record]] = {
    each.TYPE: each for each in (mail_types.Email, mail_types.Mailbox, mail_types.Thread, mail_types.Identity)
}


def properties_of(kinds: Sequence[type[Record] | str], properties: Properties) -> dict[str, list[str] | None]:
    """By type, what to ask for; None: everything. Raises ValueError.

    A mapping says it by type. Of a list each type gets what it has; one that has none of it, everything.
    """
    types = [named(kind)[0] for kind in kinds]
    if properties is None:
        return dict.fromkeys(types)
    if isinstance(properties, str):
        raise ValueError("properties is a list of names, or a mapping of such lists by type")
    if isinstance(properties, Mapping):
        if unknown := sorted(set(properties) - set(types)):
            raise ValueError(f"properties of {', '.join(unknown)}, which are not watched")
        return {type: list(properties[type]) if type in properties else None for type in types}
    if len(types) == 1:
        return {types[0]: list(properties)}
    if unknown := [type for type in types if type not in _TYPES]:
        raise ValueError(f"which properties has {unknown[0]}? Give a mapping of lists by type")
    wanted = {type: [name for name in properties if _has(type, name)] for type in types}
    lost = [name for name in properties if not any(name in names for names in wanted.values())]
    if lost:
        raise ValueError(f"{', '.join(map(repr, lost))}: no property of {' or '.join(types)}")
    return {type: names or None for type, names in wanted.items()}


def _has(type: str, name: str) -> bool:
    kind = _TYPES[type]
    known = {
        value.name for each in (kind, Record) for value in vars(each).values() if isinstance(value, Property)
    }
    return name in known or (type == "Email" and name.startswith("header:"))
