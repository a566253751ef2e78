"""From a file to settings: what kind of file it is, and what is wrong with it."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path

from veredus.bridge.config.errors import ConfigError, Findings
from veredus.bridge.config.jmap2nats import read_settings
from veredus.bridge.config.toml import read_bridges
from veredus.bridge.settings import BridgeSettings


@dataclass(frozen=True, slots=True)
class Loaded:
    """``warnings`` are for the log: what was ignored or changed, each with its key."""

    path: Path
    bridges: list[BridgeSettings]
    warnings: list[str]


def load(path: Path) -> Loaded:
    """The bridges of one file. Raises `ConfigError` with everything that is wrong.

    ``.toml`` is ours and ``.json`` is jmap2nats's; with any other name the first character decides.
    """
    text = _text(path)
    findings = Findings()
    if path.suffix == ".json" or (path.suffix != ".toml" and text.lstrip()[:1] in ("{", "")):
        settings = read_settings(path, _json(path, text), findings)
        bridges = [] if settings is None else [settings]
    else:
        bridges = read_bridges(_toml(path, text), findings)
    if findings.problems:
        raise ConfigError(path, findings.problems)
    return Loaded(path, bridges, findings.warnings)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(path, [error.strerror or str(error)], doing="read config") from error
    except UnicodeDecodeError:
        raise ConfigError(path, ["it is not text (UTF-8)"], doing="parse config") from None


def _json(path: Path, text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:  # its text shows nothing of the file
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise ConfigError(path, [where], doing="parse config") from None
    except RecursionError:
        raise ConfigError(path, ["nested too deeply"], doing="parse config") from None
    if not isinstance(value, dict):
        raise ConfigError(path, ["expected a JSON object"], doing="parse config")
    return value


def _toml(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [str(error)], doing="parse config") from None
    except RecursionError:
        raise ConfigError(path, ["nested too deeply"], doing="parse config") from None
