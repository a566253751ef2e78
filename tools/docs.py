"""Write the reference parts of docs/configuration.md and docs/cli.md from the code: ``make docs``.

What stands above the mark in each page is written by hand and kept.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from veredus.cli.main import app
from veredus.config import describe

ROOT = Path(__file__).parent.parent
MARK = "<!-- The rest is written by `make docs`. -->\n"


def pages() -> dict[Path, str]:
    """Each page with a generated part, as it should be."""
    docs = ROOT / "docs"
    parts = {docs / "configuration.md": describe.markdown(), docs / "cli.md": "\n".join(commands())}
    return {path: _by_hand(path) + MARK + part.rstrip() + "\n" for path, part in parts.items()}


def commands() -> Iterator[str]:
    """Every command: what it does, its arguments and options."""
    for path, command in command_tree():
        yield f"\n## `{' '.join(path)}`\n"
        yield (command.help or "").strip().replace("\n\n\b\n", "\n\n")
        rows = [row for parameter in command.params if (row := _row(parameter))]
        if rows:
            yield "\n| | |\n|---|---|\n" + "\n".join(rows)


def command_tree() -> list[tuple[tuple[str, ...], typer.core.TyperCommand]]:
    """Every command that can be run, with the words that name it."""
    return list(_walk(("veredus",), typer.main.get_command(app)))


def _walk(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], typer.core.TyperCommand]]:
    if not isinstance(command, typer.core.TyperGroup):
        yield path, command
        return
    for name, member in command.commands.items():
        if not member.hidden:
            yield from _walk((*path, name), member)


def _row(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        name, text = parameter.name.upper(), getattr(parameter, "help", "")
    else:
        name, text = ", ".join((*parameter.opts, *parameter.secondary_opts)), parameter.help
    return "" if name == "--help" else f"| `{name}` | {(text or '').replace('|', chr(92) + '|')} |"


def _by_hand(path: Path) -> str:
    return path.read_text().partition(MARK)[0] if path.exists() else f"# {path.stem}\n\n"


def main() -> None:
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
