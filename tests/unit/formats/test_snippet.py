"""Marked and escaped pieces of a text (RFC 8621 §5)."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.formats.search import matches, normalize, parse_query
from veredus.formats.snippet import highlight


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("The Foosball", "foosball", "The <mark>Foosball</mark>"),
        ("foo, Foo; FOOD", "foo", "<mark>foo</mark>, <mark>Foo</mark>; FOOD"),
        ("a <b> & c", "b", "a &lt;<mark>b</mark>&gt; &amp; c"),
        ('say "x"', "say", "<mark>say</mark> &quot;x&quot;"),
        ("Große Straße", "strasse", "Große <mark>Straße</mark>"),
        ("Un cafe\u0301 noir", "café", "Un <mark>café</mark> noir"),
        ("季度项目报告", "项目", "季度<mark>项目</mark>报告"),
        ("x 한글 y", "한글", "x <mark>한글</mark> y"),
        ("foo项目", "foo", "<mark>foo</mark>项目"),
        ("so\u00adft hyphen", "soft", "<mark>so\u00adft</mark> hyphen"),
        ("ok 👍 😀!", "😀", "ok 👍 <mark>😀</mark>!"),
        ("mail alice@example.com now", "alice@example.com", "mail <mark>alice@example.com</mark> now"),
        ("one two  three", '"two three"', "one <mark>two  three</mark>"),
        ("a-b x", "a b", "<mark>a</mark>-<mark>b</mark> x"),
        ("nothing", "foo", None),
        ("foobar", "foo", None),
        ("barfoo", "foo", None),
        ("", "foo", None),
        ("foo", "", None),
    ],
)
def test_the_matches_of_a_subject_are_marked(text: str, query: str, expected: str | None) -> None:
    assert highlight(text, parse_query(query), max_octets=None) == expected


@pytest.mark.parametrize(
    "filler", ["lorem <ipsum> & dolor ", "über größe “x” ", "项目报告，", "x" * 900 + " ", "👍"]
)
@pytest.mark.parametrize("times", [0, 3, 200])
def test_a_preview_is_small_and_has_the_match(filler: str, times: int) -> None:
    text = filler * times + " the Needle is here " + filler * times
    found = highlight(text, parse_query("needle"), max_octets=255)
    assert found is not None
    assert "<mark>Needle</mark>" in found
    assert len(found.encode()) <= 255
    assert not re.search(r"&(?!(?:amp|lt|gt|quot);)", found)


def test_a_preview_shows_the_place_with_most_of_the_phrases() -> None:
    text = "alpha " + "x " * 500 + "alpha and beta " + "y " * 500
    found = highlight(text, parse_query("alpha beta"), max_octets=255)
    assert found is not None
    assert "<mark>alpha</mark> and <mark>beta</mark>" in found


def test_a_match_larger_than_the_preview_is_cut() -> None:
    found = highlight("x" * 1000, [("x" * 1000,)], max_octets=255)
    assert found is not None
    assert len(found.encode()) <= 255
    assert found.startswith("<mark>x")
    assert "</mark>" in found


_ALPHABET = 'foobar FOÖ.<&>"é项目ß\u00ad\n \u0301한'


@given(st.text(alphabet=_ALPHABET, max_size=400), st.text(alphabet=_ALPHABET, min_size=1, max_size=6))
def test_a_snippet_without_its_marks_is_a_piece_of_the_escaped_text(text: str, query: str) -> None:
    phrases = parse_query(query)
    whole = highlight(text, phrases, max_octets=None)
    preview = highlight(text, phrases, max_octets=255)
    haystack = normalize(text)
    found = any(matches(haystack, [phrase]) for phrase in phrases)
    assert (whole is not None) == found == (preview is not None)
    if whole is None or preview is None:
        return
    plain = html.unescape(re.sub("</?mark>", "", whole))
    assert normalize(plain) == haystack
    assert all(any(phrase == p for phrase in phrases) for p in _marked_phrases(whole))
    assert len(preview.encode()) <= 255
    piece = " ".join(html.unescape(re.sub("</?mark>", "", preview)).strip("…").split())
    assert piece in " ".join(plain.split())


def _marked_phrases(snippet: str) -> list[tuple[str, ...]]:
    return [
        tuple(normalize(html.unescape(marked)).split())
        for marked in re.findall("<mark>(.*?)</mark>", snippet, re.DOTALL)
    ]


@given(st.text(max_size=300), st.text(max_size=4))
def test_any_text_and_query_is_taken(text: str, query: str) -> None:
    for limit in (None, 60, 255):
        found = highlight(text, parse_query(query), max_octets=limit)
        assert found is None or limit is None or len(found.encode()) <= limit
