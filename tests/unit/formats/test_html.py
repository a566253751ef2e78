"""The text of HTML as a reader sees it (RFC 8621 §4.4.1)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.formats.html import html_to_text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("<div>one</div>two", "one\ntwo"),
        ("one<br>two", "one\ntwo"),
        ("in<b>side</b> a <i>word</i>", "inside a word"),
        ("  a \n\n b  ", "a b"),
        ("a&nbsp;b &eacute;&lt;", "a b é<"),
        ("<style>p{}</style><script>x()</script><!-- c -->a", "a"),
        ("<head><title>T</title><meta name=x content=y></head><body>b", "T\nb"),
        ("<p>a<noscript>n</noscript><template>t</template>", "a\nn"),
        ('<img alt="A cat" src="secret"> <a href="u" title="Tip">link</a>', "A cat Tip link"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>d", "a\nb\nc\nd"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("a < b & c", "a < b & c"),
        ("\ud800x", "?x"),
    ],
)
def test_html_to_text(html: str, text: str) -> None:
    assert html_to_text(html) == text


def test_the_title_of_the_head_can_be_left_out() -> None:
    assert html_to_text("<title>T</title><p>b <svg><title>s</title></svg>", head_title=False) == "b"


def test_the_text_is_no_longer_than_the_limit() -> None:
    assert html_to_text("<p>one</p><p>two</p>", limit=5) == "one\nt"
    assert html_to_text("<p>one</p><p>two</p>", limit=0) == ""


_PIECES = [*"<>/&;=\"'! abpi-\0é", "\ud800", "div", "script", "title", "td"]


@given(st.lists(st.sampled_from(_PIECES), max_size=200).map("".join))
def test_nothing_raises(html: str) -> None:
    html_to_text(html)


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 100_000 + "deep",
        "".join(f"<b id={i}><p>" for i in range(3000)) + "deep",
        "<table>" * 3000 + "deep",
        "<!--" * 50_000,
        "<" * 200_000,
        "<script>" * 20_000,
        "<p x='" * 20_000,
        "<select>" * 10_000 + "deep",
    ],
)
def test_hostile_markup_takes_little_time(html: str) -> None:
    started = time.perf_counter()
    text = html_to_text(html)
    assert time.perf_counter() - started < 3
    assert text.endswith("deep") or "deep" not in html


def test_deep_markup_hides_scripts_too() -> None:
    html = "<div>" * 600 + "<script>x()</script><style>y</style><!-- z -->a &amp; b"
    assert html_to_text(html) == "a & b"
