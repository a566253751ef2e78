"""Header rows of Stalwart's mail-parser: addresses, content types, dates, ids, text (corpus: header-golden)."""

from typing import Any

import pytest

from corpus.mail_corpus import needs_corpus, read_json
from veredus.formats.mime.header import as_addresses, as_date, as_grouped_addresses, as_message_ids, as_text
from veredus.formats.mime.parameters import parse

pytestmark = needs_corpus

_PLACEMENT = "RFC 8621 §4.1.2.2: within a word, or with white space in it, it MUST NOT be decoded"
_COMMENT = "RFC 8621 §4.1.2.3: a comment is a name only if there is no display-name"
_URL = "not an address-list: List-* fields have the URLs form"
EXCEPTIONS = {
    "=?utf-8?Q?Hello\n _there!?=": _PLACEMENT,
    "=?utf-8?Q?Hello\r\n   \t  _there!?=": _PLACEMENT,
    "[SUSPECTED SPAM]=?utf-8?B?VGhpcyBpcyB0aGUgb\r\n 3JpZ2luYWwgc3ViamVjdA==?=": _PLACEMENT,
    "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>": _COMMENT,
    "A Group(Some people)": _COMMENT,
    "John Doe <jdoe@machine(comment).  example>": _COMMENT,
    "Nathaniel Borenstein <nsb@thumper.bellcore.com>": _COMMENT,
    "Name (comment) =?utf-8?q?Doe?= <a@b.com>": _COMMENT,
    "test@test.com\ninvalid@address.com": "a line break that folds nothing",
    "(Use this command": _URL,
    "NO (posting not allowed on this list)": _URL,
    "20 11 (some": "a month is a name (RFC 5322 §3.3)",
    "4 8 15 16 23 42": "a month is a name (RFC 5322 §3.3)",
    "Tue, 1 Jul 2003 ((invalid)": "the parentheses do match",
    "by 2002:aa7:": "a Received field has no Date form",
    "<1234   @   local(blah)": "RFC 8621 §4.1.2.5: CFWS is removed",
    "application/x-stuff": "parameters are separated by semicolons",
    'image/jpeg;\n   name="=?iso-8859-1?B?4Q==?=': "RFC 2047 §6.2: no space between encoded words",
}


def _marks(value: str) -> list[pytest.MarkDecorator]:
    """Rows where we differ on purpose are expected to, with the reason."""
    reasons = [EXCEPTIONS[start] for start in EXCEPTIONS if value.strip().startswith(start)]
    return [pytest.mark.xfail(reason=reason) for reason in reasons]


def _rows(name: str) -> list[Any]:
    try:
        rows = read_json(f"header-golden/stalwart-mail-parser/{name}.json")
    except FileNotFoundError:
        return []
    return [
        pytest.param(
            row["header"].rstrip("\r\n"), row["expected"], id=f"{name}-{index}", marks=_marks(row["header"])
        )
        for index, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("value", "expected"), _rows("unstructured"))
def test_text(value: str, expected: str) -> None:
    assert " ".join(as_text(value).split()) == " ".join(expected.split())


@pytest.mark.parametrize(("value", "expected"), _rows("address"))
def test_addresses(value: str, expected: dict[str, Any]) -> None:
    def ours(addresses: list[Any]) -> list[Any]:
        return [{"name": address["name"], "address": address["email"]} for address in addresses]

    if "List" in expected:
        assert ours(as_addresses(value)) == expected["List"]
    else:
        groups = [{**group, "addresses": ours(group["addresses"])} for group in as_grouped_addresses(value)]
        assert groups == expected["Group"]


@pytest.mark.parametrize(("value", "expected"), _rows("date"))
def test_dates(value: str, expected: dict[str, Any] | None) -> None:
    if expected is None:
        assert as_date(value) is None
        return
    sign = "-" if expected["tz_before_gmt"] else "+"
    offset = f"{sign}{expected['tz_hour']:02}:{expected['tz_minute']:02}"
    date = "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}".format(**expected)
    assert as_date(value) == date + ("Z" if offset == "+00:00" else offset)


@pytest.mark.parametrize(("value", "expected"), _rows("id"))
def test_message_ids(value: str, expected: list[str]) -> None:
    assert as_message_ids(value) == expected


@pytest.mark.parametrize(("value", "expected"), _rows("content_type"))
def test_content_types(value: str, expected: dict[str, Any] | None) -> None:
    main, parameters = parse(value)
    type_, _, subtype = main.partition("/")
    if expected is None:
        assert not (type_ and subtype)
        return
    assert (type_, subtype or None) == (expected["c_type"], expected["c_subtype"])
    assert dict(parameters) == dict(expected.get("attributes") or [])
