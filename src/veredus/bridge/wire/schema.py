"""The JSON Schemas of all payloads, which lie beside this package as files: ``email.created/1`` and so on.

A version only ever gains properties; anything else is a new version, with a ``ce-type`` of its own.
"""

from importlib import resources
from typing import Any

import msgspec

from veredus.wire.types import JsonObject

_FILES = resources.files("veredus.bridge") / "schemas"


class UnknownSchema(LookupError):
    """There is no schema of that name."""


def names() -> list[str]:
    """All schemas, sorted: a name, a slash, a version."""
    files = (file.name.removesuffix(".json") for file in _FILES.iterdir() if file.name.endswith(".json"))
    return sorted("/".join(name.rsplit("-", 1)) for name in files)


def load(name: str) -> JsonObject:
    """The schema ``name``; raises UnknownSchema, which says what there is."""
    known = names()
    if name not in known:
        raise UnknownSchema(f"There is no schema {name!r}; there are {', '.join(known)}.")
    return msgspec.json.decode((_FILES / f"{name.replace('/', '-')}.json").read_bytes(), type=dict[str, Any])


def schema_of(type: str, op: str) -> str:
    """The schema of the payload of a change: Email has its own, all other types share one for each op."""
    if op == "resync":
        return "resync/1"
    return f"email.{op}/1" if type == "Email" else f"record.{op}/1"


def uri(name: str) -> str:
    """The ``$id`` of a schema, and the ``dataschema`` of CloudEvents."""
    return f"urn:veredus:bridge:{name.replace('/', ':')}"
