"""The settings as TOML has them: the key of each field, and how its value is read and written.

Everything comes from the Structs of ``bridge.settings``: a new field there needs nothing here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from veredus.bridge.config import grammar
from veredus.bridge.config.grammar import shown
from veredus.bridge.settings import BridgeSettings, JmapSettings, NatsSettings, Secret

# Where the file says it otherwise than the Struct: a friend of jmap2nats finds the names it has.
_KEYS = {(JmapSettings, "url"): "session_url", (BridgeSettings, "routes"): "route"}
_SIZES = ("max_bytes", "max_per_part", "fetch_bytes")
_NONE = "none"  # TOML knows no null; the server's settings say it this way, too


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Struct. ``table``: the Struct of a table inside; ``many``: there may be several."""

    key: str
    name: str
    required: bool
    optional: bool
    default: object
    read: Callable[[object], object]
    write: Callable[[Any], object]
    table: type[Struct] | None = None
    many: bool = False


def fields(owner: type[Struct]) -> list[Field]:
    """The fields of one table, in the order of the Struct."""
    hints = get_type_hints(owner)
    return [_field(owner, info, hints[info.name]) for info in msgspec.structs.fields(owner)]


def _field(owner: type[Struct], info: msgspec.structs.FieldInfo, hint: Any) -> Field:
    kinds = [kind for kind in _alternatives(hint) if kind is not NoneType]
    optional = len(kinds) < len(_alternatives(hint))
    table, many = _table_of(kinds)
    read, write = _words_of(owner, info.name, kinds)
    return Field(
        key=_KEYS.get((owner, info.name)) or (info.name.removesuffix("_s") if float in kinds else info.name),
        name=info.name,
        required=info.required,
        optional=optional,
        default=None if info.default is msgspec.NODEFAULT else info.default,
        read=(lambda value: None if value == _NONE else read(value)) if optional else read,
        write=write,
        table=table,
        many=many,
    )


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _table_of(kinds: list[Any]) -> tuple[type[Struct] | None, bool]:
    many = get_origin(kinds[0]) is tuple
    inner = get_args(kinds[0])[0] if many else kinds[0]
    is_table = isinstance(inner, type) and issubclass(inner, Struct) and inner is not Secret
    return (inner, many) if is_table else (None, False)


def _words_of(
    owner: type[Struct], name: str, kinds: list[Any]
) -> tuple[Callable[[object], object], Callable[[Any], object]]:
    """How a value of the file becomes one of the Struct, and back."""
    if Secret in kinds:
        return (_secret_or_text if str in kinds else _secret), _written_secret
    if (owner, name) == (NatsSettings, "creds"):  # nats-py wants the path itself
        return _secret_file, lambda path: {"file": str(path)}
    if name in _SIZES:
        return size, grammar.format_size
    if get_origin(kinds[0]) is Literal:
        return _choice(get_args(kinds[0])), str
    if get_origin(kinds[0]) is tuple:
        return texts, list
    words: dict[Any, tuple[Callable[[object], object], Callable[[Any], object]]] = {
        float: (duration, grammar.format_duration),
        bool: (flag, bool),
        int: (whole, int),
        Path: (lambda value: Path(text(value)), str),
    }
    return words.get(kinds[0], (string, str))


def string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, got {shown(value)}")
    return value


def text(value: object) -> str:
    """A string that is not empty."""
    if not string(value):
        raise ValueError("expected a string that is not empty")
    return string(value)


def texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"expected a list of strings, got {shown(value)}")
    return tuple(text(item) for item in value)


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {shown(value)}")
    return value


def whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"expected a whole number, got {shown(value)}")
    return value


def size(value: object) -> int:
    """A number of octets, or a text with its unit."""
    if isinstance(value, str) or type(value) is int:
        return grammar.parse_size(str(value))
    raise ValueError(f'expected a size such as 67108864 or "64MiB", got {shown(value)}')


def duration(value: object, *, days: bool = True) -> float:
    """A text in Go's grammar, or with days as in the other tables of a TOML file."""
    if not isinstance(value, str):
        raise ValueError(f'expected a duration such as "168h" or "1h30m", got {shown(value)}')
    return grammar.parse_duration(value, days=days)


def _choice(allowed: tuple[str, ...]) -> Callable[[object], object]:
    def read(value: object) -> object:
        if value not in allowed:
            raise ValueError(f"expected {' | '.join(allowed)}, got {shown(value)}")
        return value

    return read


def _secret_or_text(value: object) -> Secret | str:
    return value if isinstance(value, str) and value else _secret(value)


def _secret(value: object) -> Secret:
    if isinstance(value, str):
        raise ValueError('a secret must not stand in this file: write { file = "…" } or { env = "…" }')
    place = value if isinstance(value, dict) and len(value) == 1 else {}
    match place:
        case {"file": str(file)} if file:
            return Secret(file=Path(file))
        case {"env": str(env)} if env:
            return Secret(env=env)
    raise ValueError('expected { file = "…" } or { env = "…" }')


def _secret_file(value: object) -> Path:
    file = _secret(value).file if isinstance(value, dict) else None
    if file is None:
        raise ValueError('expected { file = "…" }')
    return file


def _written_secret(secret: Secret | str) -> object:
    if isinstance(secret, str):
        return secret
    parts = {"file": secret.file and str(secret.file), "env": secret.env, "member": secret.member}
    return {key: value for key, value in parts.items() if value is not None}
