"""The keys of RFC 4790 §9 and RFC 5051."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.formats.collation import ALGORITHMS, key


@pytest.mark.parametrize(
    ("algorithm", "values"),
    [
        ("i;ascii-numeric", ["0", "1", "2x", "003", "10", "99999999999999999999", "x"]),
        ("i;ascii-casemap", ["", "A", "b", "C", "Z", "[", "{", "É", "é"]),
        ("i;unicode-casemap", ["", "A", "b", "C", "É", "f", "ß", "д", "Я", "日"]),
    ],
)
def test_values_sort_in_this_order(algorithm: str, values: list[str]) -> None:
    keys = [key(algorithm, value) for value in values]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    ("algorithm", "one", "other"),
    [
        ("i;ascii-numeric", "007 men", "7"),
        ("i;ascii-numeric", "", "none"),
        ("i;ascii-numeric", "-1", "x"),
        ("i;ascii-casemap", "Hello", "hELLO"),
        ("i;unicode-casemap", "Éa", "e\u0301A"),
        ("i;unicode-casemap", "straße", "STRAßE"),
        ("i;unicode-casemap", "ǆ", "Ǆ"),
        ("i;unicode-casemap", "ᾳ", "ᾼ"),
    ],
)
def test_values_are_equal(algorithm: str, one: str, other: str) -> None:
    assert key(algorithm, one) == key(algorithm, other)


def test_ascii_casemap_leaves_other_letters_alone() -> None:
    assert key("i;ascii-casemap", "é") != key("i;ascii-casemap", "É")


@given(st.sampled_from(sorted(ALGORITHMS)), st.text())
def test_every_string_has_a_key(algorithm: str, value: str) -> None:
    assert isinstance(key(algorithm, value), str)


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_has_one_key_in_both_casemaps(value: str) -> None:
    assert key("i;unicode-casemap", value) == key("i;ascii-casemap", value)


@given(st.integers(0), st.integers(0))
def test_numbers_sort_by_value(one: int, other: int) -> None:
    assert (key("i;ascii-numeric", str(one)) < key("i;ascii-numeric", str(other))) == (one < other)


def test_an_unknown_collation_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        key("i;octet", "a")
