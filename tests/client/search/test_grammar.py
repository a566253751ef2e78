"""What a search says, and what it is told when it says nothing."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.client.search import SearchError, parse
from veredus.client.search.grammar import MAX_DEPTH
from veredus.client.search.nodes import (
    Address,
    Ago,
    And,
    Attachment,
    Header,
    In,
    Keyword,
    Not,
    Or,
    Received,
    Size,
    Text,
    ThreadKeyword,
)
from veredus.client.search.operators import OPERATORS

A, B, C = (Text("text", name) for name in "abc")


@pytest.mark.parametrize(
    ("search", "node"),
    [
        ("", And()),
        ("   ", And()),
        ("a", A),
        ("a b", And((A, B))),
        ("a AND b", And((A, B))),
        ("a OR b c", Or((A, And((B, C))))),
        ("(a OR b) c", And((Or((A, B)), C))),
        ("-a", Not(A)),
        ("NOT a OR NOT(b c)", Or((Not(A), Not(And((B, C)))))),
        ("--a", A),
        ("NOT -a", A),
        ("-(a b)", Not(And((A, B)))),
        ("or and not", And((Text("text", "or"), Text("text", "and"), Text("text", "not")))),
        ('"OR" a', And((Text("text", "OR", True), A))),
        ("ORANGE", Text("text", "ORANGE")),
        (r'subject:"say \"a b\" \\ c"', Text("subject", r'say "a b" \ c', True)),
        ("FROM:stripe", Text("from", "stripe")),
        ("from:@Stripe.com", Address("from", None, "Stripe.com")),
        ("to:a@b.c", Address("to", "a", "b.c")),
        ('cc:"a@b.c"', Text("cc", "a@b.c", True)),
        ("bcc:a@", Text("bcc", "a@")),
        ("subject:a@b.c", Text("subject", "a@b.c")),
        ("10:30", Text("text", "10:30")),
        ("don't", Text("text", "don't")),
        ("in:inbox", In("inbox")),
        ('in:"My Mail/2024"', In("My Mail/2024")),
        ("has:attachment", Attachment()),
        ("is:unread", Not(Keyword("$seen"))),
        ("-is:unread", Keyword("$seen")),
        ("keyword:$Work", Keyword("$work")),
        ("thread:unread", ThreadKeyword("$seen", lacking=True)),
        ("thread:keyword:Work", ThreadKeyword("work")),
        ("list:news.example.com", Header("List-Id", "<news.example.com>")),
        ("list:<news.example.com>", Header("List-Id", "<news.example.com>")),
        ("header:X-Spam", Header("X-Spam")),
        ("header:X-Spam:yes:no", Header("X-Spam", "yes:no")),
        ('header:X-Spam:"a b" a', And((Header("X-Spam", "a b"), A))),
        ("larger:1M", Size(at_least=1024 * 1024)),
        ("larger:1MB", Size(at_least=1_000_000)),
        ("larger:1.5kib", Size(at_least=1536)),
        ("smaller:100", Size(below=100)),
        ("before:2026-05-04", Received(before=date(2026, 5, 4))),
        ("after:2026-05", Received(since=date(2026, 5, 1))),
        ("on:2026-05-31", Received(date(2026, 5, 31), date(2026, 6, 1))),
        ("on:2024-02", Received(date(2024, 2, 1), date(2024, 3, 1))),
        ("on:2026", Received(date(2026, 1, 1), date(2027, 1, 1))),
        ("after:2026-05-04T10:00:00Z", Received(since=datetime(2026, 5, 4, 10, tzinfo=UTC))),
        ("newer:30d", Received(since=Ago(30, "d"))),
        ("older:1Y", Received(before=Ago(1, "y"))),
    ],
)
def test_a_search_says(search: str, node: Any) -> None:
    assert parse(search) == node


@pytest.mark.parametrize(
    ("search", "position", "what"),
    [
        ("a form:x", 2, "no operator 'form' .* did you mean 'from'"),
        ("https://example.com", 0, "no operator 'https' .*quote it.* there are from, to,"),
        ("from:", 5, "directly after from:, found the end"),
        ("from: x", 5, "directly after from:, found ' '"),
        ("from:(a OR b)", 5, "directly after from:, found '\\('"),
        ("a OR", 4, "expected a term, found the end"),
        ("OR a", 0, "expected a term, found OR"),
        ("a AND OR b", 6, "expected a term, found OR"),
        ("()", 1, "expected a term, found '\\)'"),
        ("a (b", 2, "expected '\\)' to close this"),
        ("a) b", 1, "a '\\)' without its '\\('"),
        ('a "b', 2, "to close this one"),
        ('a"b', 1, "expected a space before"),
        ("a(b)", 1, "expected a space before"),
        ("(a)b", 3, "expected a space before"),
        ("- a", 1, "a term directly after '-'"),
        ("a NOT", 5, "expected a term, found the end"),
        ("is:unred", 3, "did you mean 'unread'"),
        ("thread:flagge", 7, "did you mean 'flagged'"),
        ("has:pdf", 4, "expected 'attachment'"),
        ("subject:!!!", 8, "a letter or digit"),
        ('in:""', 3, "expected the role, path, name or id"),
        ("keyword:ä", 8, "expected a keyword"),
        ("list:a<b", 5, "expected a List-Id"),
        ("header:a:", 7, "expected text after header:a:"),
        ("larger:2x", 7, "a size such as"),
        ("larger:9999999999999G", 7, "larger than anything"),
        ("newer:30", 6, "a time such as"),
        ("on:2026-02-30", 3, "no date of the calendar"),
        ("on:yesterday", 3, "a date such as"),
        ("on:2026-05-04T10:00:00Z", 3, "a day, month or year"),
        ("before:0001", 7, "a date such as"),
        ("before:2026-05-04T10:00:00", 7, "a date such as"),
        ("(" * (MAX_DEPTH + 1) + "a", MAX_DEPTH, "nested more than"),
        ("-" * (MAX_DEPTH + 2) + "a", MAX_DEPTH + 1, "nested more than"),
    ],
)
def test_an_error_names_the_place_and_what_was_expected(search: str, position: int, what: str) -> None:
    with pytest.raises(SearchError, match=what) as raised:
        parse(search)
    assert raised.value.position == position


PIECES = [
    "from:",
    "is:unread",
    "-",
    "(",
    ")",
    '"',
    "OR",
    "NOT",
    " ",
    "\\",
    "header:",
    "a",
    ":",
    "@",
    "on:2026",
    "ä\0",
]


def refused_at(search: str) -> int | None:
    """Where ``search`` is no search; 0 if it is one."""
    try:
        parse(search)
    except SearchError as error:
        return error.position
    return 0


@given(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)))
def test_whatever_is_typed_is_a_search_or_an_error_that_says_where(search: str) -> None:
    position = refused_at(search)
    assert position is not None
    assert 0 <= position <= len(search)


def test_a_search_without_end_is_refused() -> None:
    with pytest.raises(SearchError, match="at most"):
        parse("a " * 10_000)


def test_the_page_names_every_operator_and_its_searches_are_of_the_grammar(root: Path) -> None:
    page = (root / "docs" / "search-grammar.md").read_text("utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    searches = [part for row in rows for part in row[1].replace("\\|", "|").split("`")[1::2]]
    for search in searches:
        parse(search)
    assert {name for name in OPERATORS if not any(f"{name}:" in search for search in searches)} == set()
