"""The settings as anybody may see them: for ``status`` and ``check``."""

import re
from typing import Any

from msgspec import Struct

from veredus.bridge.config.fields import fields
from veredus.bridge.settings import BridgeSettings

# What stands before the host of a URL: a password, perhaps, or a token.
_USERINFO = re.compile(r"(?<=://)[^/]*@")


def public_json(settings: BridgeSettings) -> dict[str, Any]:
    """Everything but the secrets, of which only the file or the variable is named.

    The keys and the grammar are those of ``[[bridge]]``: as TOML it would be read as the same settings.
    """
    table = _table(settings)
    table["jmap"]["session_url"] = without_userinfo(settings.jmap.url)
    table["nats"]["url"] = nats_without_userinfo(settings.nats.url)
    return table


def without_userinfo(url: str) -> str:
    """A URL without user and password. An address without ``://`` is left as it is."""
    return _USERINFO.sub("", url)


def nats_without_userinfo(url: str) -> str:
    """The same of the URLs of NATS: several with commas, and ``token@host`` without a scheme."""
    hosts = (one.strip() for one in url.split(","))
    return ",".join(without_userinfo(one) if "://" in one else one.rpartition("@")[2] for one in hosts)


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
