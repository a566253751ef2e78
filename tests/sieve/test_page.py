"""docs/sieve.md: its examples are valid, and its table names each extension that there is."""

import re

import pytest

from house.sources import ROOT
from veredus.formats import sieve

PAGE = (ROOT / "docs" / "sieve.md").read_text("utf-8")
EXAMPLES = re.findall(r"```sieve\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_valid(example: str) -> None:
    sieve.compile(example)


def test_the_table_names_the_extensions_that_there_are() -> None:
    table = PAGE.partition("## Extensions")[2].partition("\n## ")[0]
    named = [
        name
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for name in re.findall(r"`(.*?)`", row)
    ]
    assert sorted(named) == sorted(sieve.EXTENSIONS)


def test_the_limits_are_those_of_the_code() -> None:
    limits = sieve.Limits()
    table = PAGE.partition("## Limits")[2]
    for number in (
        limits.max_actions,
        limits.max_nesting,
        limits.max_variable,
        limits.max_string,
        limits.max_variables,
    ):
        assert re.search(rf"\b{number:,}\b", table)
    assert f"{limits.max_regex_size:,}" in table
    assert f"{limits.max_added_headers // 1024} KiB" in table
    assert f"{limits.max_include_depth} deep" in table
