"""Passwords on the command line: from a file, from standard input, typed, or made up."""

import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from veredus.cli.common import EXIT_USAGE, Failure

# Four groups of four out of 31 letters and digits that are not taken for one another: 79 bits.
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"[:31]
_GROUPS, _GROUP = 4, 4

PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="The first line of this file is the password.")
]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="The first line of standard input is the password.")
]


def given(file: Path | None, stdin: bool) -> str | None:
    """The password that the options name; None: they name none."""
    if file is not None and stdin:
        raise Failure("--password-file and --password-stdin exclude each other", EXIT_USAGE)
    if file is None and not stdin:
        return None
    text = file.read_text(encoding="utf-8") if file is not None else sys.stdin.readline()
    password = text.split("\n", 1)[0].removesuffix("\r")
    if not password:
        raise Failure(f"{file or 'standard input'}: the password is empty")
    return password


def typed() -> str | None:
    """A password that a person types twice; None: no person is there, or none was typed."""
    if not sys.stdin.isatty():
        return None
    password: str = typer.prompt(
        "New password (empty: one is made up)", hide_input=True, confirmation_prompt=True, default="",
        show_default=False, err=True,
    )  # fmt: skip
    return password or None


def made_up() -> str:
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
