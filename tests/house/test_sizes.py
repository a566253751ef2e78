"""A file of at most 400 lines, a function of at most 60: what fits in a head. ADR 0012."""

import ast
from collections.abc import Iterator

from house.sources import ROOT, python_files

MAX_FILE = 400
MAX_FUNCTION = 60

# What may be longer, and why. A line for something that no longer is fails, too.
ALLOWED: dict[str, str] = {}


def too_long() -> Iterator[tuple[str, int]]:
    for path, tree in python_files("src", "tests", "tools"):
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE:
            yield str(path), lines
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION:
                    yield f"{path}:{node.name}", length


def test_no_file_and_no_function_is_too_long() -> None:
    found = dict(too_long())
    assert {name: lines for name, lines in found.items() if name not in ALLOWED} == {}
    assert [name for name in ALLOWED if name not in found] == [], "no longer too long: remove it from ALLOWED"
