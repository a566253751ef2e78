"""Words, phrases and what a match is (RFC 8621 §4.4.1)."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.formats.search import matches, normalize, parse_query, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("Hello, World!", ["hello", "world"]),
        ("alice.smith@mail.example.com", ["alice", "smith", "mail", "example", "com"]),
        ("snake_case don't", ["snake", "case", "don", "t"]),
        ("Crème BRÛLÉE", ["creme", "brulee"]),
        ("cafe\u0301", ["cafe"]),
        ("Straße GROẞ", ["strasse", "gross"]),
        ("İstanbul ΣΊΣΥΦΟΣ", ["istanbul", "σισυφοσ"]),
        ("Ёлка Й", ["елка", "и"]),
        ("ﬁn x² ½", ["fin", "x2", "1", "2"]),
        ("Ｆｕｌｌｗｉｄｔｈ", ["fullwidth"]),
        ("项目报告", ["项", "目", "报", "告"]),
        ("foo项目bar", ["foo", "项", "目", "bar"]),
        ("ひらカナ", ["ひ", "ら", "カ", "ナ"]),
        ("한글", ["한", "글"]),
        (unicodedata.normalize("NFD", "한글が"), ["한", "글", "が"]),
        ("ﾊﾟ", ["パ"]),
        ("soft\u00adhyphen zero\u200bwidth jo\u200din", ["softhyphen", "zero", "width", "join"]),
        ("हिन्दी", ["हिनदी"]),
        ("สวัสดี", list("สวัสดี")),
        ("👍🏽 ok ❤️", ["👍", "ok", "❤"]),
        ("a\u2014b “c” … d", ["a", "b", "c", "d"]),
        ("lone \ud800 surrogate", ["lone", "surrogate"]),
        ("nul\0and\ttab", ["nul", "and", "tab"]),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text())
def test_normal_form_is_its_own_normal_form(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)
    assert words(normalize(text)) == words(text)


@given(st.text(), st.text())
def test_texts_apart_are_normalized_apart(one: str, other: str) -> None:
    assert words(f"{one}\n{other}") == words(one) + words(other)


@given(st.text(alphabet="aéßи项が한 .\u0301\u00ad👍", min_size=1, max_size=12))
def test_long_and_short_texts_are_treated_alike(text: str) -> None:
    assert words(text + " x" * 200) == words(text) + ["x"] * 200


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lt"])))
def test_case_does_not_count(text: str) -> None:
    assert normalize(text.lower()) == normalize(text) or normalize(text.upper()) == normalize(text)


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("", ()),
        ("  \t ", ()),
        ("- & ***", ()),
        ("foo", (("foo",),)),
        ("foo Bar foo", (("foo",), ("bar",))),
        ('"foo bar" baz', (("foo", "bar"), ("baz",))),
        ("'foo bar' baz", (("foo", "bar"), ("baz",))),
        ("alice@example.com", (("alice", "example", "com"),)),
        ("项目报告", (("项", "目", "报", "告"),)),
        (r'"say \"hi\" now"', (("say", "hi", "now"),)),
        (r"'it\'s here'", (("it", "s", "here"),)),
        ("'don't panic'", (("don", "t", "panic"),)),
        ("don't panic", (("don", "t"), ("panic",))),
        ('"unclosed phrase', (("unclosed",), ("phrase",))),
        ("'tis the season", (("tis",), ("the",), ("season",))),
        ('"foo"bar', (("foo",), ("bar",))),
        ("\"a 'b' c\"", (("a", "b", "c"),)),
        ('""', ()),
        ("\\", ()),
        ('"\\', ()),
    ],
)
def test_queries(text: str, phrases: tuple[tuple[str, ...], ...]) -> None:
    assert parse_query(text) == phrases


@pytest.mark.parametrize("unit", ["'a ", '"a ', '"a" ', "\\", "'", '"', "'a' "])
def test_hostile_queries_take_linear_time(unit: str) -> None:
    started = time.perf_counter()
    parse_query(unit * 20_000)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("The quick brown fox", "quick fox", True),
        ("The quick brown fox", '"quick fox"', False),
        ("The quick brown fox", '"quick brown"', True),
        ("The quick brown fox", "qui", False),
        ("The quick brown fox", "quickbrown", False),
        ("To: Alice <alice@example.com>", "example.com", True),
        ("To: Alice <alice@example.com>", "alice@example", True),
        ("季度项目报告", "项目", True),
        ("季度项目报告", "目项", False),
        ("Café", "CAFE", True),
        ("anything", "", True),
        ("", "x", False),
    ],
)
def test_matches(text: str, query: str, found: bool) -> None:
    assert matches(normalize(text), parse_query(query)) is found


@given(st.text(), st.text())
def test_a_text_matches_each_of_its_words_and_itself(before: str, after: str) -> None:
    text = f"{before} needle {after}"
    assert matches(normalize(text), parse_query("Needle"))
    assert matches(normalize(text), [tuple(words(text))])
