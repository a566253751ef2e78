"""What the commands share: finding the settings, and ending with one clear line."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from veredus.config import Loaded

# 0 is success.
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_PROBLEMS = 3  # a check ran, and found something

# The option of every command that reads: ``as_json: Json = False``.
Json = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]
# Of those that write many records: ``no_index: NoIndex = False``.
NoIndex = Annotated[
    bool,
    typer.Option("--no-index", help="Postpone the index of words: `veredus index rebuild` makes it later."),
]


class Failure(Exception):
    """A command cannot do its work. The text is the whole message: what, and where possible the remedy."""

    def __init__(self, text: str, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Invocation:
    """The options that stand before (or after) any command."""

    config: Path | None = None
    data_dir: Path | None = None
    verbose: bool = False

    def load(self, **overrides: object) -> "Loaded":
        """The settings of this invocation. Overrides by key, ``__`` for the dot: ``http__listen=[…]``."""
        from veredus import config

        given: dict[str, object] = {"data_dir": self.data_dir, "log.level": "debug" if self.verbose else None}
        given |= {key.replace("__", "."): value for key, value in overrides.items()}
        return config.load(self.config or config.find_file(os.environ), os.environ, given)


def invocation(ctx: typer.Context) -> Invocation:
    """The Invocation that the main callback stored."""
    return ctx.ensure_object(Invocation)


def plain(text: str) -> str:
    """For a terminal: users, clients or remote hosts chose a part of it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def write_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def write_note(path: Path, value: Any) -> None:
    """A JSON file that later commands read: it is as it was, or whole."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value) + "\n", encoding="utf-8")
    partial.replace(path)


def end(error: Exception) -> NoReturn:
    """End the process with what a person needs to know of ``error``; one that is a bug is raised again."""
    from veredus.config.errors import ConfigError

    if isinstance(error, ConfigError):
        _end("\n".join(error.problems), EXIT_USAGE)
    if isinstance(error, Failure):
        _end(f"veredus: {error}", error.exit_code)
    if isinstance(error, OSError):
        about = f"{error.filename}: " if error.filename else ""
        _end(f"veredus: {about}{error.strerror or error}", EXIT_FAILURE)
    from veredus.ports import Unavailable
    from veredus.schema import DeclarationError

    if not isinstance(error, Unavailable | DeclarationError):
        raise error  # its traceback is what a report needs
    from veredus.cli.remedies import remedy

    _end(f"veredus: {error}{remedy(error)}", EXIT_FAILURE)


def _end(text: str, exit_code: int) -> NoReturn:
    typer.echo(text, err=True)
    sys.exit(exit_code)
