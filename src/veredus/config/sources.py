"""The three places a setting may be given in: a file, the environment, the command line.

Each is read into `Given`s by key; what cannot be understood goes to a list of problems, so that all are
told at once.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from veredus.config.fields import ENV_PREFIX, FIELDS, SECTIONS
from veredus.config.kinds import KIB
from veredus.config.positions import KeyPath, Position, positions

# Nothing that a person would write as a setting or a secret is longer; /dev/zero is.
MAX_SECRET = 64 * KIB
MAX_FILE = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as somebody gave it, not yet of its own type."""

    value: object
    origin: str  # for `show --origin`: "file veredus.toml:14", "env VEREDUS__…", "command line"
    where: str  # how a message about it begins, with the space that separates them
    is_text: bool = False  # of the environment or a file: lists and numbers are still text
    is_secret: bool = False  # came from elsewhere by reference, so the value is not to be shown
    base: Path | None = None  # what a relative path is relative to


class Reader:
    """Collects what is given and what is wrong, source by source; a later source wins."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.given: dict[str, Given] = {}
        self.problems: list[str] = []

    def file(self, path: Path) -> None:
        source = ""
        try:
            source = _read_text(path, MAX_FILE)
            document = tomllib.loads(source)
        except tomllib.TOMLDecodeError as error:
            self.problems.append(_syntax_error(path, source, str(error)))
        except RecursionError:
            self.problems.append(f"{path}  nested too deeply")
        except (OSError, ValueError) as error:
            self.problems.append(f"{path}  cannot be read: {_reason(error)}")
        else:
            _File(self, path, positions(source)).table(document, ())

    def environment(self) -> None:
        names = [name for name in self.environ if name.startswith(ENV_PREFIX)]
        by_env = {field.env: field.key for field in FIELDS.values()}
        for name in sorted(names):
            base = name.removesuffix("_FILE")
            if name in by_env:
                self.given[by_env[name]] = Given(self.environ[name], f"env {name}", f"{name}  ", is_text=True)
            elif base in by_env and base in names:
                self.problems.append(f"{name}  {base} is set as well - keep one of them")
            elif base in by_env:
                self._reference(by_env[base], {"file": self.environ[name]}, f"{name}  ", f"env {name}", None)
            else:
                self.problems.append(f"{name}  unknown setting{_suggestion(name, by_env)}")

    def command_line(self, overrides: Mapping[str, object]) -> None:
        """None means that the option was not used."""
        for key, value in overrides.items():
            if key not in FIELDS:
                raise KeyError(key)
            if value is not None:
                option = "--" + key.replace(".", "-").replace("_", "-")
                self.given[key] = Given(value, "command line", f"{option}  ", isinstance(value, str))

    def setting(self, key: str, value: object, where: str, origin: str, base: Path) -> None:
        if isinstance(value, dict):
            self._reference(key, value, where, origin, base)
        else:
            self.given[key] = Given(value, origin, where, base=base)

    def _reference(
        self, key: str, table: Mapping[str, object], where: str, origin: str, base: Path | None
    ) -> None:
        """``{ env = "X" }`` or ``{ file = "…" }`` in place of a value."""
        match table:
            case {"env": str(name)} if len(table) == 1:
                if name not in self.environ:
                    self.problems.append(f"{where}the environment variable {name} is not set")
                    return
                text, source = self.environ[name], f"env {name}"
            case {"file": str(name)} if len(table) == 1:
                path = (base or Path()) / name
                try:
                    text, source = _read_text(path, MAX_SECRET).rstrip("\r\n"), f"contents of {path}"
                except (OSError, ValueError) as error:
                    self.problems.append(f"{where}cannot read {path}: {_reason(error)}")
                    return
            case _:
                self.problems.append(
                    f'{where}a table is not a value here - {{ env = "NAME" }} and {{ file = "path" }} are'
                )
                return
        self.given[key] = Given(text, f"{origin} ({source})", where, is_text=True, is_secret=True, base=base)


@dataclass(frozen=True, slots=True)
class _File:
    """One parsed file on its way into a `Reader`."""

    reader: Reader
    path: Path
    positions: Mapping[KeyPath, Position]

    def table(self, table: Mapping[str, object], prefix: tuple[str, ...]) -> None:
        for name, value in table.items():
            path = (*prefix, name)
            key, position = ".".join(path), self.positions[path]
            where = f"{self.path}:{position}  {key}: "
            if key in FIELDS and name.isidentifier():
                origin = f"file {self.path}:{position.line}"
                self.reader.setting(key, value, where, origin, self.path.parent)
            elif key in SECTIONS and isinstance(value, dict):
                self.table(value, path)
            elif key in SECTIONS:
                self.reader.problems.append(f"{where}expected a table: [{key}]")
            else:
                self.reader.problems.append(f"{where}unknown key{self._suggestion(prefix, name)}")

    def _suggestion(self, prefix: tuple[str, ...], name: str) -> str:
        siblings = {path[len(prefix)] for path in _key_paths() if path[: len(prefix)] == prefix}
        if nearest := _suggestion(name, siblings):
            return nearest
        # The right name in the wrong section is the other common slip.
        elsewhere = [key for key in FIELDS if key.rpartition(".")[2] == name]
        return f' - did you mean "{elsewhere[0]}"?' if elsewhere else ""


def _key_paths() -> Iterator[tuple[str, ...]]:
    return (tuple(key.split(".")) for key in FIELDS)


def _suggestion(name: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f' - did you mean "{nearest[0]}"?' if nearest else ""


def _syntax_error(path: Path, source: str, message: str) -> str:
    found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message, re.DOTALL)
    if found is None:
        return f"{path}  {message}"
    line = found[2] or source.count("\n") + 1
    column = found[3] or len(source) - source.rfind("\n")
    return f"{path}:{line}:{column}  {found[1]}"


def _read_text(path: Path, limit: int) -> str:
    with path.open("rb") as file:
        octets = file.read(limit + 1)
    if len(octets) > limit:
        raise ValueError(f"larger than {limit} octets")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at octet {error.start}") from None


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
