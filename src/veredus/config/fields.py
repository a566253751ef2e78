"""The settings as a flat list: ``http.listen`` and so on, read off the dataclasses of `settings`."""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_args, get_type_hints

from veredus.config.setting import Setting
from veredus.config.settings import Config

ENV_PREFIX = "VEREDUS__"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting."""

    key: str
    kind: Any
    default: object
    setting: Setting

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.key.upper().replace(".", "__")


def _walk(section: type, prefix: str) -> Iterator[Field]:
    hints = get_type_hints(section, include_extras=True)
    for field in fields(section):
        hint = hints[field.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            yield from _walk(hint, f"{prefix}{field.name}.")
        else:
            kind, setting = get_args(hint)
            assert field.default is not MISSING, f"{prefix}{field.name} has no default"
            yield Field(prefix + field.name, kind, field.default, setting)


FIELDS: Mapping[str, Field] = {field.key: field for field in _walk(Config, "")}

# The sections, by name; the settings at the top belong to none.
SECTIONS: Mapping[str, type] = {
    name: hint
    for name, hint in get_type_hints(Config).items()
    if is_dataclass(hint) and isinstance(hint, type)
}


def build(values: Mapping[str, object]) -> Config:
    """A Config of ``values``, by key; what is not named keeps its default."""
    sections = {
        name: section(
            **{key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{name}.")}
        )
        for name, section in SECTIONS.items()
    }
    top: dict[str, Any] = {key: value for key, value in values.items() if "." not in key}
    return Config(**top, **sections)


def flat(config: Config) -> dict[str, object]:
    """The values of a Config, by key: the inverse of `build`."""
    values = {}
    for key in FIELDS:
        section, _, name = key.rpartition(".")
        values[key] = getattr(getattr(config, section) if section else config, name)
    return values
