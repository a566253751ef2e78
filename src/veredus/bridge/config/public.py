"""The settings as anybody may see them: for ``status`` and ``check``."""

import re
from typing import Any

from msgspec import Struct

from veredus.bridge.config.fields import fields
from veredus.bridge.settings import BridgeSettings

# What stands before the host of a URL: a password, perhaps.
_USERINFO = re.compile(r"(?<=://)[^/@,]*@|^[^/@,:]*:[^/@,]*@")


def public_json(settings: BridgeSettings) -> dict[str, Any]:
    """Everything but the secrets, of which only the file or the variable is named.

    The keys and the grammar are those of ``[[bridge]]``: as TOML it would be read as the same settings.
    """
    table = _table(settings)
    for part, key in (("nats", "url"), ("jmap", "session_url")):
        table[part][key] = without_userinfo(table[part][key])
    return table


def without_userinfo(url: str) -> str:
    """A URL, or several with commas, without user and password."""
    return ",".join(_USERINFO.sub("", one.strip()) for one in url.split(","))


def _table(value: Struct) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for field in fields(type(value)):
        found = getattr(value, field.name)
        if found is None:
            if field.default is not None:
                table[field.key] = "none"
        elif field.table is None:
            table[field.key] = field.write(found)
        else:
            table[field.key] = [_table(one) for one in found] if field.many else _table(found)
    return table
