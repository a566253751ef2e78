"""The Authentication-Results field (RFC 8601)."""

import pytest

from veredus.formats.authentication_results import Result, authserv_id, write

authres = pytest.importorskip("authres", reason="the extra `checks` is not installed")


def test_the_field_is_folded_and_quoted_where_it_must_be() -> None:
    field = write(
        "mail.example.com",
        [
            Result("spf", "pass", [("smtp.mailfrom", "example.org")]),
            Result("dkim", "fail", [("header.d", "example.org"), ("header.b", "a/b+c=")], 'a "bad"\r\n one'),
            Result("iprev", "pass", [("policy.iprev", "2001:db8::1")]),
        ],
    )
    assert field == (
        b"Authentication-Results: mail.example.com;\r\n"
        b"\tspf=pass smtp.mailfrom=example.org;\r\n"
        b'\tdkim=fail reason="a \\"bad\\"  one" header.d=example.org header.b="a/b+c=";\r\n'
        b'\tiprev=pass policy.iprev="2001:db8::1"\r\n'
    )
    assert write("a b", [])[:30] == b'Authentication-Results: "a b";'
    assert write("mail.example.com", []) == b"Authentication-Results: mail.example.com; none\r\n"


def test_another_implementation_reads_it() -> None:
    results = [
        Result("spf", "softfail", [("smtp.mailfrom", "x.example.org")]),
        Result(
            "dkim",
            "pass",
            [("header.d", "example.org"), ("header.i", "@example.org"), ("header.s", "s" * 50)],
        ),
        Result("dmarc", "fail", [("header.from", "example.org"), ("policy.dmarc", "reject")], "x" * 70),
    ]
    text = write("mail.example.com", results).decode()
    assert all(len(line) < 100 for line in text.split("\r\n"))
    read = authres.AuthenticationResultsHeader.parse(text.strip().replace("\r\n", ""))
    assert read.authserv_id == "mail.example.com"
    assert [(one.method, one.result) for one in read.results] == [(one.method, one.result) for one in results]


@pytest.mark.parametrize(
    ("value", "claimed"),
    [
        (b" Mail.Example.com; spf=pass", "mail.example.com"),
        (b" mail.example.com 1; spf=pass", "mail.example.com"),
        (b"mail.example.com;none", "mail.example.com"),
        (b' "mail.example.com"; spf=pass', "mail.example.com"),
        (b' "ma\\il.example.com"; spf=pass', "mail.example.com"),
        (b" (a (nested \\) one)) mail.example.com; spf=pass", "mail.example.com"),
        (b"\r\n\tmail.example.com (v1)\r\n\t1; spf=pass", "mail.example.com"),
        (b" mail.example.com(comment); spf=pass", "mail.example.com"),
        (b" other.example; spf=pass", "other.example"),
        (b" (mail.example.com) other.example; spf=pass", "other.example"),
        (b" ; spf=pass", None),
        (b" (unended mail.example.com; spf=pass", None),
        (b' "unended', None),
        (b"", None),
        (b" \xff\xfe; x", "\ufffd\ufffd"),
    ],
)
def test_whose_a_field_claims_to_be_is_seen_through_its_disguise(value: bytes, claimed: str | None) -> None:
    assert authserv_id(value) == claimed
