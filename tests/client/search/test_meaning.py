"""A search selects by Email/query what it selects when it is decided on each Email."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.mail_corpus import CORPUS, crlf, messages
from jmap import Jmap, message, new_user, open_server
from veredus.client.search import Context, Mailboxes, get_arguments, match, parse, to_filter
from veredus.client.search.grammar import MAX_DEPTH
from veredus.config.settings import Limits

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
ZONE = timezone(timedelta(hours=5, minutes=30))
KEYWORDS = ("$seen", "$flagged", "$answered", "$draft", "work")
PROPERTIES = ["subject", "from", "to", "preview", "size"]
# Besides the corpus, what its searches would seldom hit.
OWN = [
    message("Rechnung für Straße", "Grüße. Bitte zahlen!", From="Zoë Müller <zoe@stripe.com>"),
    message("=?utf-8?q?caf=C3=A9_invoice?=", "don't panic", From="stripe.com <x@evil.example>"),
    message("发票 2026", "请付款", To="Bob <bob@mail.stripe.com>, Al <al@example.com>"),
    message("Re: invoice", "one two three", List_Id="News <news.example.com>", Cc="ann@stripe.com"),
    message("digest", "three two one", List_Id="<sub.news.example.com>", X_Spam_Flag="YES", Bcc="b@x.org"),
    message("", ""),
    b"From: h@example.com\r\nSubject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/html\r\n\r\n<title>hidden</title><style>.purple {}</style><p class=green>see "
    b"<img alt=kitten> last<br>word</p>\r\n--x\r\nContent-Type: text/plain\r\n"
    b"Content-Disposition: attachment; filename=notes.txt\r\n\r\nfirst of the notes\r\n--x\r\n"
    b"Content-Type: application/pdf; name=report.pdf\r\nContent-Disposition: attachment\r\n\r\nsecret\r\n--x--\r\n",
]

# And enough of it that every term selects something, with the corpus or without.
OWN += [
    message(
        f"Report {n}", f"line {n} " * n * 12, Received="from a.example by b.example", Message_ID=f"<{n}@x>"
    )
    for n in range(60)
]


class Account:
    """Mail in several Mailboxes, with what Email/get says of it for any search."""

    def __init__(self, runner: asyncio.Runner, jmap: Jmap) -> None:
        self.runner, self.jmap = runner, jmap
        self.fetched: dict[str, list[Any]] = {}

    async def fill(self) -> None:
        random = Random(4)
        work = (await self.jmap.create("Mailbox", name="Work"))["id"]
        inner = (await self.jmap.create("Mailbox", name="Inv oices", parentId=work))["id"]
        boxes = [work, inner, await self.jmap.mailbox("inbox"), await self.jmap.mailbox("archive")]
        of_corpus = [data for _, data in islice(messages(), 0, None, 5)] if CORPUS.is_dir() else []
        for data in [*OWN, *of_corpus[:500]]:
            try:
                await self.jmap.import_email(
                    crlf(data),
                    random.choice(boxes),
                    keywords={name: True for name in KEYWORDS if random.random() < 0.3},
                    receivedAt=f"{NOW - timedelta(hours=random.choice([1, 30, 700, 9000])):%Y-%m-%dT%H:%M:%SZ}",
                )
            except AssertionError:
                continue  # not a message, or a second copy
        self.context = Context(
            Mailboxes((await self.jmap.call("Mailbox/get", ids=None))["list"]), NOW, zone=ZONE
        )
        self.ids = await self.jmap.query("Email")
        self.words = await self._words(random)

    async def _words(self, random: Random) -> list[str]:
        """Words that are there, with those of the own messages always."""
        got = await self.jmap.call("Email/get", ids=self.ids, properties=PROPERTIES)
        self.sizes = sorted({email["size"] for email in got["list"]})[:40]
        texts = [
            f"{email['subject']} {email['preview'][:80]} "
            + " ".join(
                f"{one['name']} {one['email']}" for one in [*(email["from"] or ()), *(email["to"] or ())]
            )
            for email in got["list"]
        ]
        found = sorted({word for text in texts for word in re.findall(r"[^\s()\"]+", text)})
        return random.sample(found, min(len(found), 300))

    def selected(self, search: str) -> tuple[list[str], list[str]]:
        """(ids by Email/query, ids by match)."""
        node = parse(search)
        by_query = self.runner.run(self.jmap.query("Email", filter=to_filter(node, self.context)))
        arguments = get_arguments(node)
        key = repr(arguments)
        if key not in self.fetched:
            got = self.runner.run(self.jmap.call("Email/get", ids=self.ids, **arguments))
            self.fetched[key] = got["list"]
        by_match = [email["id"] for email in self.fetched[key] if match(node, email, self.context)]
        return sorted(by_query), sorted(by_match)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with asyncio.Runner() as runner:
        opened = open_server(
            "sqlite", tmp_path_factory.mktemp("search"), limits=Limits(max_objects_in_get=5000)
        )
        app = runner.run(opened.__aenter__())
        try:
            account = Account(runner, runner.run(new_user(app)))
            runner.run(account.fill())
            yield account
        finally:
            runner.run(opened.__aexit__(None, None, None))


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


PLAIN = [
    "in:inbox", "in:work", 'in:"Work/Inv oices"', 'in:"inv oices"', "has:attachment", "is:unread", "is:read",
    "is:flagged", "is:answered", "is:draft", "keyword:WORK", "list:news.example.com",
    "header:X-Spam-Flag", "header:x-spam-flag:yes", "header:List-Id:example", "header:Subject:café",
    "header:Received", 'header:From:"<"', "larger:1K", "larger:3.5K", "smaller:2KB", "smaller:700",
    "newer:1d", "newer:2w", "newer:1m", "older:1y", "older:20h", "on:2026-05-04", "on:2026-05", "on:2025",
    "before:2026-05-04", "after:2026-05-04", "after:2026-05-04T08:30:00Z", "before:2026-05-04T08:30:00Z",
    "subject:invoice", 'body:"two three"', "body:panic", "发", "text:grüsse", "cc:ann", "bcc:b", "from:stripe",
    'subject:"café invoice"', "don't", "strasse", "body:kitten", 'body:"last word"', "report.pdf", "body:first",
    "ann", "b@x.org", "h@example.com",
]  # fmt: skip
# Words side by side only where one field ends and the next begins; markup; what is no text.
NOWHERE = [
    'text:"example com parts"', "body:purple", "body:green", "body:hidden", "body:secret", "list:news.example",
]  # fmt: skip
OPERATORS = ("text", "from", "to", "cc", "subject", "body")


@st.composite
def searches(draw: st.DrawFn, words: list[str]) -> str:
    """A random search over what the account holds."""
    word = st.sampled_from(words).filter(lambda word: re.search(r"\w", word.replace("_", "")) is not None)
    texts = st.tuples(st.sampled_from(OPERATORS), word).map(lambda pair: f"{pair[0]}:{quoted(pair[1])}")
    phrases = st.tuples(word, word).map(lambda pair: quoted(" ".join(pair)))
    term = st.one_of(st.sampled_from(PLAIN), texts, phrases)
    search = st.recursive(
        term,
        lambda inner: st.one_of(
            inner.map(lambda one: f"-({one})"),
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]} {pair[1]})"),
            st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})"),
        ),
        max_leaves=5,
    )
    return draw(search)


def test_each_term_means_the_same_to_the_server_and_here(account: Account) -> None:
    for search in PLAIN:
        by_query, by_match = account.selected(search)
        assert by_query == by_match, search
        # A term that selects nothing, or everything, proves nothing.
        assert 0 < len(by_query) < len(account.ids), search
        by_query, by_match = account.selected(f"-{search}")
        assert by_query == by_match, search


@pytest.mark.parametrize("search", NOWHERE)
def test_what_is_not_there_is_found_by_neither(account: Account, search: str) -> None:
    own = "(from:h@example.com OR to:al@example.com OR list:news.example.com)"
    assert account.selected(f"{own} {search}") == ([], [])


def test_the_deepest_search_is_not_too_deep_for_the_server(account: Account) -> None:
    search = "(invoice has:attachment OR " * MAX_DEPTH + "is:draft" + ")" * MAX_DEPTH
    by_query, by_match = account.selected(search)
    assert by_query == by_match


def test_a_size_is_at_least_or_below(account: Account) -> None:
    for size in account.sizes:
        for search in (f"larger:{size}", f"smaller:{size}"):
            by_query, by_match = account.selected(search)
            assert by_query == by_match, search


def test_any_search_means_the_same_to_the_server_and_here(account: Account) -> None:
    @settings(max_examples=100)
    @given(searches(account.words))
    def check(search: str) -> None:
        by_query, by_match = account.selected(search)
        assert by_query == by_match

    check()


def test_every_word_of_the_mail_is_found_here_as_by_the_server(account: Account) -> None:
    """Unquoted: as a person types it."""
    for word in account.words[:60]:
        if re.search(r"[^\W_]", word) and not re.match(r'-|AND\b|OR\b|NOT\b|"|[A-Za-z][\w-]*:', word):
            by_query, by_match = account.selected(word)
            assert by_query == by_match, word


@pytest.mark.parametrize(
    "search", ["from:@stripe.com", "from:ZOE@stripe.com", "to:@mail.stripe.com", "cc:ann@stripe.com"]
)
def test_an_address_is_exact_here_and_words_to_the_server(account: Account, search: str) -> None:
    by_query, by_match = account.selected(search)
    assert len(by_match) == 1
    assert set(by_match) <= set(by_query)


def test_a_display_name_does_not_pass_for_a_domain(account: Account) -> None:
    by_query, by_match = account.selected("from:@stripe.com subject:café")
    assert len(by_query) == 1
    assert by_match == []


@pytest.mark.parametrize(
    ("search", "filter"),
    [
        ("thread:flagged", {"someInThreadHaveKeyword": "$flagged"}),
        ("-thread:flagged", {"noneInThreadHaveKeyword": "$flagged"}),
        ("-thread:unread", {"allInThreadHaveKeyword": "$seen"}),
        ("thread:unread", {"operator": "NOT", "conditions": [{"allInThreadHaveKeyword": "$seen"}]}),
    ],
)
def test_threads_are_for_the_server(account: Account, search: str, filter: Any) -> None:
    assert to_filter(parse(search), account.context) == filter
    assert account.runner.run(account.jmap.query("Email", filter=filter))
