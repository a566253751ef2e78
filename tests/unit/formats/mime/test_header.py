"""Parsed forms of header fields and header:* properties (RFC 8621 §4.1.2-4.1.3)."""

from typing import Any

import pytest

from veredus.formats.mime.header import (
    FORMS,
    Header,
    HeaderProperty,
    allowed_form,
    as_addresses,
    as_date,
    as_grouped_addresses,
    as_message_ids,
    as_text,
    as_urls,
    parse_header_property,
    split_header_block,
)

JAMES = ' "  James Smythe" <james@example.com>, Friends:\r\n  jane@example.com, =?UTF-8?Q?John_Sm=C3=AEth?=\r\n  <john@example.com>;'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" plain", "plain"),
        ("", ""),
        ("   two  spaces stay ", "two  spaces stay "),
        (" folded\r\n  text", "folded  text"),
        (" folded\n\ttext", "folded\ttext"),
        (" =?UTF-8?Q?John_Sm=C3=AEth?=", "John Smîth"),
        (" =?utf-8?b?w6k=?=\r\n =?utf-8?b?w6g=?=", "éè"),
        (" =?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),  # a character split between two words
        (" =?iso-8859-1?q?=E9?= =?utf-8?q?=C3=A9?= x", "éé x"),
        (" =?utf-8*fr?q?=C3=A9t=C3=A9?=", "été"),
        (" =?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        (" x=?utf-8?q?a?=", "x=?utf-8?q?a?="),  # within a word: MUST NOT be decoded
        (" =?utf-8?q?a b?=", "=?utf-8?q?a b?="),  # white space: MUST NOT be decoded
        (" =?utf-8?x?a?=", "=?utf-8?x?a?="),
        (" =?x-unknown?q?=E9?=", "=?x-unknown?q?=E9?="),
        (" =?utf-8?q?a=00b=0Ac=7Fd?=", "abcd"),  # NUL and controls are dropped
        (" e\u0301", "é"),  # NFC
        (" =?utf-8?q?=ED=A0=80?=", "\ufffd\ufffd\ufffd"),  # a surrogate is not legal UTF-8
        (" =?utf-7?q?+2AA-?=", "\ufffd"),
        (" =?ks_c_5601-1987?B?sei80cH4?=", "김솅진"),
        (" =?gb2312?B?1tDOxA==?=", "中文"),
        (" =?us-ascii?q?=E9?=", "é"),
    ],
)
def test_text_form(value: str, expected: str) -> None:
    assert as_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", []),
        (" joe@example.com", [(None, "joe@example.com")]),
        (" Joe <joe@example.com>", [("Joe", "joe@example.com")]),
        (' "Joe, Q." <joe@example.com>', [("Joe, Q.", "joe@example.com")]),
        (' "a \\"b\\" c" <d@e.f>', [('a "b" c', "d@e.f")]),
        (' "  James\r\n Smythe " <j@e.f>', [("James Smythe", "j@e.f")]),
        (" joe@example.com (Joe)", [("Joe", "joe@example.com")]),
        (" (before) joe@example.com", [(None, "joe@example.com")]),
        (" Joe <joe@example.com> (comment)", [("Joe", "joe@example.com")]),
        (" <joe@example.com> (Joe (the) one)", [("Joe (the) one", "joe@example.com")]),
        (" joe @ example . com", [(None, "joe@example.com")]),
        (" <@a.b,@c.d:joe@example.com>", [(None, "joe@example.com")]),
        (' "joe blow"@example.com', [(None, '"joe blow"@example.com')]),
        (' <"joe blow"@example.com>', [(None, '"joe blow"@example.com')]),
        (" a@b.c, , d@e.f,", [(None, "a@b.c"), (None, "d@e.f")]),
        (" a@b.c; d@e.f", [(None, "a@b.c"), (None, "d@e.f")]),
        (" <a@b.c> <d@e.f>", [(None, "a@b.c"), (None, "d@e.f")]),
        (" Joe Blow joe@example.com", [("Joe Blow", "joe@example.com")]),
        (" Joe <joe@example.com", [("Joe", "joe@example.com")]),
        (' "Joe <joe@example.com>', [("Joe", "joe@example.com")]),
        (" Joe (unclosed <joe@example.com>", [("Joe unclosed", "joe@example.com")]),
        (" undisclosed-recipients:;", []),
        (" postmaster", [("postmaster", "")]),
        (" Mail Delivery System <>", [("Mail Delivery System", "")]),
        (" <>", []),
        (" a@[127.0.0.1]", [(None, "a@[127.0.0.1]")]),
        (" =?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M=C3=BCller?= <j@e.f>", [("Jörg Müller", "j@e.f")]),
        (' "=?utf-8?q?J=C3=B6rg?=" <j@e.f>', [("Jörg", "j@e.f")]),
        (" j@e.f (=?utf-8?q?J=C3=B6rg?=)", [("Jörg", "j@e.f")]),
        (" Jörg <jörg@exämple.com>", [("Jörg", "jörg@exämple.com")]),
        (" a@b.c <d@e.f>", [("a@b.c", "d@e.f")]),
        (JAMES, [("James Smythe", "james@example.com"), (None, "jane@example.com"), ("John Smîth", "john@example.com")]),
    ],
)  # fmt: skip
def test_addresses_form(value: str, expected: list[tuple[str | None, str]]) -> None:
    assert as_addresses(value) == [{"name": name, "email": email} for name, email in expected]


def test_grouped_addresses_form_of_the_rfc() -> None:
    assert as_grouped_addresses(JAMES) == [
        {"name": None, "addresses": [{"name": "James Smythe", "email": "james@example.com"}]},
        {
            "name": "Friends",
            "addresses": [
                {"name": None, "email": "jane@example.com"},
                {"name": "John Smîth", "email": "john@example.com"},
            ],
        },
    ]


def test_addresses_after_a_group_begin_a_group_without_name() -> None:
    groups = as_grouped_addresses(" a@b.c, Empty:;, d@e.f, g@h.i")
    assert [(group["name"], len(group["addresses"])) for group in groups] == [
        (None, 1), ("Empty", 0), (None, 2),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" <a@b>", ["a@b"]),
        (" <a@b>\r\n <c@d>", ["a@b", "c@d"]),
        (" <a@b> (comment) <c@d>", ["a@b", "c@d"]),
        (" <a\r\n @b>", ["a@b"]),
        (" a@b c@d", ["a@b", "c@d"]),
        (" ", None),
        (" <>", None),
        (" (only a comment)", None),
    ],
)
def test_message_ids_form(value: str, expected: list[str] | None) -> None:
    assert as_message_ids(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" Thu, 13 Feb 1969 23:32:54 -0330", "1969-02-13T23:32:54-03:30"),
        (" 13 Feb 1969 23:32 GMT", "1969-02-13T23:32:00Z"),
        (" Thu, 13 Feb 2020 23:32:54 +0000 (UTC)", "2020-02-13T23:32:54Z"),
        (" Thu, 13 Feb 2020 23:32:54 -0000", "2020-02-13T23:32:54Z"),
        (" Thu, 13 Feb 20 23:32:54 EST", "2020-02-13T23:32:54-05:00"),
        (" Thu, 13 Feb 98 23:32:54 Z", "1998-02-13T23:32:54Z"),
        (" Thu, 13 Feb 101 23:32:54 Z", "2001-02-13T23:32:54Z"),
        (" Thu Feb 13 23:32:54 2020", "2020-02-13T23:32:54Z"),
        (" Thu, 13-Feb-2020 23:32:54 +0100", "2020-02-13T23:32:54+01:00"),
        (" 29 Feb 2020 00:00:60 +0100", "2020-02-29T00:00:59+01:00"),
        (" 30 Feb 2020 00:00:00 +0100", None),
        (" 13 Feb 2020 24:00:00 +0100", None),
        (" 13 Foo 2020 23:00:00 +0100", None),
        (" yesterday", None),
        ("", None),
        (" " * 100_000, None),
    ],
)
def test_date_form(value: str, expected: str | None) -> None:
    assert as_date(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (" <mailto:a@b>, <https://x.y/z>", ["mailto:a@b", "https://x.y/z"]),
        (" (FTP) <ftp://a.b/\r\n c>", ["ftp://a.b/c"]),
        (" NO (posting not allowed)", None),
        ("", None),
    ],
)
def test_urls_form(value: str, expected: list[str] | None) -> None:
    assert as_urls(value) == expected


@pytest.mark.parametrize(
    ("name", "form", "allowed"),
    [
        ("Subject", "asText", True),
        ("Subject", "asAddresses", False),
        ("from", "asAddresses", True),
        ("From", "asGroupedAddresses", True),
        ("From", "asDate", False),
        ("From", "asRaw", True),
        ("Date", "asDate", True),
        ("Resent-Date", "asDate", True),
        ("References", "asMessageIds", True),
        ("List-Post", "asURLs", True),
        ("List-Post", "asText", False),
        ("List-Id", "asText", True),
        ("Received", "asText", False),
        ("X-Any", "asDate", True),
    ],
)
def test_forms_are_allowed_for_the_fields_of_the_rfc(name: str, form: str, allowed: bool) -> None:
    assert allowed_form(name, form) is allowed


def test_header_properties() -> None:
    assert parse_header_property("subject") is None
    assert parse_header_property("header:Subject") == HeaderProperty("Subject", "asRaw", False)
    assert parse_header_property("header:X-A:asDate:all") == HeaderProperty("X-A", "asDate", True)
    assert parse_header_property("header:X-A:all") == HeaderProperty("X-A", "asRaw", True)


@pytest.mark.parametrize(
    "prop",
    [
        "header:", "header:a b", "header:X:all:asText", "header:X:asNothing", "header:X:asText:any",
        "header:From:asDate", "header:X:", "header:é",
    ],
)  # fmt: skip
def test_a_malformed_or_forbidden_header_property_is_refused(prop: str) -> None:
    with pytest.raises(ValueError, match=r"header|form"):
        parse_header_property(prop)


def test_the_last_instance_counts_unless_all_are_asked_for() -> None:
    headers = [Header("X-A", " 1"), Header("x-a", " 2"), Header("B", " 3")]

    def value(prop: str) -> Any:
        found = parse_header_property(prop)
        assert found is not None
        return found.value(headers)

    assert value("header:X-a") == " 2"
    assert value("header:X-A:asText:all") == ["1", "2"]
    assert value("header:C") is None
    assert value("header:C:all") == []


@pytest.mark.parametrize(
    ("block", "expected", "size"),
    [
        (b"A: 1\r\nB : 2\r\n", [("A", " 1"), ("B", " 2")], None),
        (b"A: 1\r\n 2\r\n", [("A", " 1\r\n 2")], None),
        (b"A:\n\t2\nB:", [("A", "\n\t2"), ("B", "")], None),
        (b"From me Mon Jan 1\nA: 1\n", [("A", " 1")], None),
        (b"A: 1\njunk\nB: 2\n", [("A", " 1"), ("B", " 2")], None),
        (b"A: 1\nthis is\nthe body\n", [("A", " 1")], 5),
        (b"nothing\n", [], 0),
        (b"A: \xc3\xa9\0\n", [("A", " é")], None),
        (b"A: \xe9x\n", [("A", " \ufffdx")], None),
    ],
)
def test_header_blocks(block: bytes, expected: list[tuple[str, str]], size: int | None) -> None:
    assert split_header_block(block) == (expected, len(block) if size is None else size)


def test_forms_are_named_as_in_the_rfc() -> None:
    assert set(FORMS) == {
        "asRaw", "asText", "asAddresses", "asGroupedAddresses", "asMessageIds", "asDate", "asURLs",
    }  # fmt: skip
