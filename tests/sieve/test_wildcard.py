"""Patterns of :matches against a regular expression that means the same, and compares every choice."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from veredus.formats.sieve.wildcard import Wildcard

PATTERNS = st.lists(st.sampled_from(["*", "?", "a", "b", "\\*", "\\?", "\\\\", "\\a"]), max_size=9).map(
    "".join
)
VALUES = st.text("ab*?\\", max_size=12)


def naive(pattern: str) -> re.Pattern[str]:
    """The stars of a regular expression are tried one length after the other, the shortest first."""
    source = ""
    for piece in re.findall(r"\\[*?\\]|.", pattern):
        source += {"*": "(.*?)", "?": "(.)"}.get(piece, re.escape(piece[-1]))
    return re.compile(source, re.DOTALL)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, VALUES)
@example("", "")
@example("*", "")
@example("?*?", "a")
@example("*?b", "ab")
@example("a*a", "a")
@example("*ab*b", "abab")
def test_a_pattern_matches_what_it_should_and_its_wildcards_are_the_shortest(
    pattern: str, value: str
) -> None:
    expected = naive(pattern).fullmatch(value)
    found = Wildcard(pattern).match(value)
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert [value[start:end] for start, end in found] == list(expected.groups())
