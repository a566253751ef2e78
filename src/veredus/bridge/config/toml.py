"""``[[bridge]]`` tables of a TOML file; other tables are the server's. A key unknown here is an error."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Struct

from veredus.bridge.config.checks import check
from veredus.bridge.config.errors import Findings
from veredus.bridge.config.fields import Field, fields
from veredus.bridge.config.grammar import shown
from veredus.bridge.config.public import without_userinfo
from veredus.bridge.config.together import check_together
from veredus.bridge.settings import BridgeSettings

T = TypeVar("T", bound=Struct)

# Beside the keys of the Structs: other places and names of the same thing.
_ALIASES = {"stream.replicas": "replicas", "jmap.url": "jmap.session_url"}


def read_bridges(root: Mapping[str, object], findings: Findings) -> list[BridgeSettings]:
    """Empty: there is a problem in ``findings``, which may hold several."""
    tables = root.get("bridge")
    if isinstance(tables, dict):
        findings.problems.append("[bridge] is one table: write [[bridge]], with two brackets")
        return []
    if not isinstance(tables, list) or not tables:
        findings.problems.append("there is no [[bridge]] table")
        return []
    bridges = [_bridge(table, at, findings) for at, table in enumerate(tables, 1)]
    whole = [bridge for bridge in bridges if bridge is not None]
    check_together(whole, findings)
    return [] if findings.problems else whole


def _bridge(table: object, at: int, findings: Findings) -> BridgeSettings | None:
    if not isinstance(table, dict):
        findings.problems.append(f"bridge {at}: expected a table, got {shown(table)}")
        return None
    name = table.get("name")
    own = Findings()
    settings = _struct(BridgeSettings, _without_aliases(table, own), "", own)
    if settings is not None and not own.problems:
        _refuse_password(settings, own)
        settings = check(settings, own)
    label = f"bridge {shown(name)}: " if isinstance(name, str) else f"bridge {at}: "
    findings.problems += [label + problem for problem in own.problems]
    findings.warnings += [label + warning for warning in own.warnings]
    return None if own.problems else settings


def _without_aliases(table: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """A copy in which each value stands at the place of its Struct."""
    plain = {key: dict(value) if isinstance(value, dict) else value for key, value in table.items()}
    for alias, key in _ALIASES.items():
        inner, _, last = alias.partition(".")
        source = plain.get(inner)
        if not isinstance(source, dict) or last not in source:
            continue
        target = source if "." in key else plain
        if key.rpartition(".")[2] in target:
            findings.problems.append(f"{alias} and {key} are the same: set one of them")
        target[key.rpartition(".")[2]] = source.pop(last)
    return plain


def _struct(owner: type[T], table: Mapping[str, Any], path: str, findings: Findings) -> T | None:
    known = {field.key: field for field in fields(owner)}
    for key in table:
        if key not in known:
            findings.problems.append(_unknown(path, key, list(known)))
    values: dict[str, object] = {}
    for key, field in known.items():
        if key in table:
            values[field.name] = _value(field, table[key], f"{path}{key}", findings)
        elif field.required:
            findings.problems.append(f"{path}{key} is required")
    return None if findings.problems else owner(**values)


def _value(field: Field, value: object, path: str, findings: Findings) -> object:
    if field.table is None:
        try:
            return field.read(value)
        except ValueError as error:
            findings.problems.append(f"{path}: {error}")
            return None
    items = value if field.many else [value]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        brackets = f"expected tables: write [[bridge.{path}]]" if field.many else "expected a table"
        findings.problems.append(f"{path}: {brackets}, got {shown(value)}")
        return None
    places = [f"{path}[{at}]." for at in range(len(items))] if field.many else [f"{path}."]
    made = tuple(
        _struct(field.table, item, place, findings) for item, place in zip(items, places, strict=True)
    )
    return made if field.many else made[0]


def _unknown(path: str, key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    meant = f"did you mean {path}{near[0]}?" if near else f"known are {', '.join(known)}"
    return f"{path}{key} is unknown - {meant}"


def _refuse_password(settings: BridgeSettings, findings: Findings) -> None:
    said = "must not hold a user or a password: they have keys of their own"
    if without_userinfo(settings.jmap.url) != settings.jmap.url:
        findings.problems.append(f"jmap.session_url {said}")
    if "@" in settings.nats.url:
        findings.problems.append(f"nats.url {said}")
