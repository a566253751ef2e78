"""The settings described: for a person, for an editor, as a new file, for the documentation."""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from veredus.config import kinds
from veredus.config.fields import FIELDS, SECTIONS, Field


def explain(field: Field) -> str:
    """One setting: meaning, type, default, bounds and the name of its environment variable."""
    rows = [
        ("type", kinds.name(field.kind)),
        ("default", kinds.write(field.kind, field.default)),
        ("bounds", _bounds(field)),
        ("env", f"{field.env}, or {field.env}_FILE with the path of a file that contains it"),
    ]
    meaning = textwrap.fill(field.setting.doc, 100)
    return "\n".join([field.key, "", meaning, "", *(f"{name:8} {text}" for name, text in rows if text)])


def explain_section(section: str) -> str:
    """The settings of a section, one line each."""
    mine = [field for field in FIELDS.values() if field.key.startswith(f"{section}.")]
    width = max(len(field.key) for field in mine)
    lines = (f"{field.key:{width}}  {field.setting.doc.partition('. ')[0].rstrip('.')}" for field in mine)
    return "\n".join([f"[{section}]  {_doc(section)}", "", *lines])


def example() -> str:
    """A whole configuration file in which every setting has its default, as a comment."""
    return "\n".join(_example()) + "\n"


def _example() -> Iterator[str]:
    yield "# Veredus: every setting and its default. Remove the # of what you change."
    yield "# `veredus config check` finds mistakes, `veredus config explain KEY` says more."
    section = ""
    for field in FIELDS.values():
        head, _, name = field.key.rpartition(".")
        yield ""
        if head != section:
            section = head
            yield f"[{section}]  # {_doc(section)}"
        yield from textwrap.wrap(field.setting.doc, 96, initial_indent="# ", subsequent_indent="# ")
        yield f"#{name} = {kinds.write(field.kind, field.default)}"


def markdown() -> str:
    """The reference part of docs/configuration.md."""
    return "\n".join(_markdown())


def _markdown() -> Iterator[str]:
    section = None
    for field in FIELDS.values():
        head, _, name = field.key.rpartition(".")
        if head != section:
            section = head
            yield f"\n## `[{head}]`\n\n{_doc(head)}\n" if head else "\n## At the top of the file\n"
            yield "| setting | type | default | meaning |\n|---|---|---|---|"
        kind = kinds.name(field.kind).replace("|", "\\|")
        doc = " ".join(filter(None, (field.setting.doc, _bounds(field)))).replace("|", "\\|")
        yield f"| `{name}` | {kind} | `{kinds.write(field.kind, field.default)}` | {doc} |"


def json_schema() -> dict[str, Any]:
    """A JSON Schema of the file, which editors use to complete and check it."""
    properties: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        properties[name] = _table(inspect.getdoc(section) or "")
    for field in FIELDS.values():
        head, _, name = field.key.rpartition(".")
        target = properties[head]["properties"] if head else properties
        target[name] = {
            "description": field.setting.doc,
            "default": kinds.plain(field.default),
            "anyOf": [*_schemas(field), _REFERENCE],
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "veredus.toml",
        **_table("Every setting has a default.", properties),
    }


# { env = "X" } and { file = "…" } may stand for any value.
_REFERENCE = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "properties": {"env": {"type": "string"}, "file": {"type": "string"}},
    "additionalProperties": False,
}


def _table(doc: str, properties: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "description": doc,
        "properties": properties or {},
        "additionalProperties": False,
    }


def _schemas(field: Field) -> list[dict[str, Any]]:
    wanted = kinds.required(field.kind)
    number = {"type": "integer"} | {
        name: bound
        for name, bound in (("minimum", field.setting.minimum), ("maximum", field.setting.maximum))
        if bound is not None
    }
    none: list[dict[str, Any]] = [{"const": "none"}] if kinds.optional(field.kind) else []
    if get_origin(wanted) is Literal:
        return [{"enum": list(get_args(wanted))}, *none]
    if get_origin(wanted) is tuple:
        return [{"type": "array", "items": {"type": "string"}}]
    by_kind: dict[Any, list[dict[str, Any]]] = {
        bool: [{"type": "boolean"}],
        int: [number],
        kinds.Size: [number, {"type": "string", "pattern": kinds.pattern(kinds.Size)}],
        kinds.Duration: [{"type": "string", "pattern": kinds.pattern(kinds.Duration)}],
    }
    return by_kind.get(wanted, [{"type": "string"}]) + none


def _doc(section: str) -> str:
    return (inspect.getdoc(SECTIONS[section]) or "").partition("\n")[0]


def _bounds(field: Field) -> str:
    minimum, maximum = field.setting.minimum, field.setting.maximum
    # The largest integer of JMAP is no bound that a person meets.
    least = None if minimum in (None, 0) else kinds.write(field.kind, minimum).strip('"')
    most = None if maximum is None or maximum == 2**53 - 1 else kinds.write(field.kind, maximum).strip('"')
    words = [f"{least} or more" if least else "", f"{most} at most" if most else ""]
    return ", ".join(word for word in words if word) + ("." if any(words) else "")
