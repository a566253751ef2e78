"""JSON in and out of commands."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import typer

from veredus.cli.common import EXIT_USAGE, Failure

# What would change how a terminal shows the rest: what a stranger wrote may hold it.
_INVISIBLE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


def write(value: Any) -> None:
    """One object: a line, or on a terminal several."""
    text = json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=False)
    typer.echo(_INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
    sys.stdout.flush()


def read_object(text: str | None, what: str) -> dict[str, Any]:
    """A JSON object from the command line; ``-`` is standard input, None an empty one. Raises Failure."""
    if text is None:
        return {}
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = Path(text[1:]).read_text(encoding="utf-8")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Failure(f"{what} are no JSON: {error}", EXIT_USAGE) from None
    if not isinstance(value, dict):
        raise Failure(f"{what} must be a JSON object", EXIT_USAGE)
    return value


def read_ids(words: list[str] | None) -> list[str] | None:
    """``-`` stands for the lines of standard input; None: no ids were given."""
    if words == ["-"]:
        return sys.stdin.read().split()
    return words or None


def names(text: str | None) -> list[str] | None:
    """Names with commas between them."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def sort_of(text: str | None) -> list[dict[str, Any]] | None:
    """``receivedAt,-size`` as Comparators (RFC 8620 §5.5)."""
    return (
        None
        if text is None
        else [
            {"property": name.removeprefix("-"), "isAscending": not name.startswith("-")}
            for name in names(text) or []
        ]
    )
