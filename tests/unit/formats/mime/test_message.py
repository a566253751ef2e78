"""Parts, body lists, decoding, preview and truncation (RFC 8621 §4.1.4, RFC 2045-2046, RFC 2231)."""

import pytest

from veredus.formats import charset
from veredus.formats.mime.email import convenience, part_json
from veredus.formats.mime.message import (
    Part,
    decode,
    decode_text,
    has_attachment,
    is_message,
    parse,
    preview,
    truncate_text,
)
from veredus.formats.mime.parameters import parse as parse_value
from veredus.formats.mime.split import MAX_PARTS


def tree(part: Part) -> object:
    """A part as its type, a multipart as (type, its parts)."""
    return (part.type, [tree(sub_part) for sub_part in part.sub_parts]) if part.is_multipart else part.type


def leaves(data: bytes) -> list[bytes]:
    return [part.content() for part in parse(data).root.walk() if not part.is_multipart]


MIXED = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"A: 1\r\n\r\nbody\r\n", [b"body\r\n"]),
        (b"A: 1\n\nbody\n", [b"body\n"]),
        (b"A: 1\r\rbody\r", [b"body\n"]),
        (b"A: 1", [b""]),
        (b"", [b""]),
        (b"\r\nbody", [b"body"]),
        (b"A: 1\nno blank line\nat all\n", [b"no blank line\nat all\n"]),
        (b"From x Mon Jan 1\r\nA: 1\r\n\r\nbody", [b"body"]),
        (MIXED + b"pre\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\npost", [b"one", b"two"]),
        (MIXED + b"--b\r\n\r\none\r\n--b \t\r\n\r\ntwo\r\n--b-- \r\n", [b"one", b"two"]),
        (MIXED + b"--b\r\n\r\none", [b"one"]),  # no closing delimiter
        (MIXED + b"--b\r\n\r\none\r\n--bb\r\n--b--", [b"one\r\n--bb"]),
        (MIXED + b"--b\r\nX: 1\r\n--b\r\n\r\ntwo\r\n--b--", [b"", b"two"]),
        (MIXED + b"--b\r\n--b--", [b""]),
        (MIXED + b"--b\r\n\r\n\r\n--b--", [b""]),
        (MIXED + b"no delimiter", [b"no delimiter"]),
        (b"Content-Type: multipart/mixed\r\n\r\nno boundary", [b"no boundary"]),
    ],
)
def test_splitting(data: bytes, expected: list[bytes]) -> None:
    assert leaves(data) == expected


def test_an_outer_delimiter_ends_what_is_open_inside() -> None:
    inner = b"--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\none\r\n"
    message = parse(MIXED + inner + b"--b\r\nContent-Type: text/html\r\n\r\ntwo\r\n--c\r\n\r\n--b--\r\n")
    assert tree(message.root) == (
        "multipart/mixed", [("multipart/alternative", ["text/plain"]), "text/html"],
    )  # fmt: skip
    assert [part.part_id for part in message.root.walk()] == [None, None, "1", "2"]


def test_a_digest_has_messages_and_messages_are_leaves() -> None:
    data = (
        MIXED.replace(b"mixed", b"digest") + b"--b\r\n\r\nA: 1\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
    )
    assert tree(parse(data).root) == ("multipart/digest", ["message/rfc822", "text/plain"])


def test_depth_and_number_of_parts_are_bounded() -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (i, i) for i in range(500))
    assert len(parse(nested).root.walk()) < 110
    assert len(parse(MIXED + b"--b\n\nx\n" * (MAX_PARTS + 100)).root.walk()) == MAX_PARTS + 1


@pytest.mark.parametrize(
    ("header", "type_", "charset_"),
    [
        (b"", "text/plain", "us-ascii"),
        (b"Content-Type: TEXT/HTML; Charset=UTF-8", "text/html", "UTF-8"),
        (b"Content-Type: text/html", "text/html", "us-ascii"),
        (b"Content-Type: image/png", "image/png", None),
        (b"Content-Type: text / plain (c); charset=(d) x", "text/plain", "x"),
        (b"Content-Type: text", "text/plain", "us-ascii"),
        (b"Content-Type: text/plain\r\nContent-Type: text/html", "text/html", "us-ascii"),
    ],
)
def test_type_and_charset(header: bytes, type_: str, charset_: str | None) -> None:
    root = parse(header + b"\r\n\r\n").root
    assert (root.type, root.charset) == (type_, charset_)


@pytest.mark.parametrize(
    ("value", "parameter", "expected"),
    [
        ("attachment; filename=a.txt", "filename", "a.txt"),
        ("attachment; filename=a b.txt", "filename", "a b.txt"),
        ('attachment; filename="a;b\\"c.txt"', "filename", 'a;b"c.txt'),
        ('attachment; filename="unclosed', "filename", "unclosed"),
        ("attachment; filename*=utf-8''%C3%A9t%C3%A9", "filename", "été"),
        ("attachment; filename*=iso-8859-1'fr'%E9t%E9", "filename", "été"),
        ("attachment; filename=x; filename*=utf-8''y", "filename", "y"),
        ("a; filename*0=ab; filename*1=\"cd\"", "filename", "abcd"),
        ("a; filename*1*=%C3; filename*2*=%A9; filename*0*=utf-8''a", "filename", "aé"),
        ('a; filename="=?utf-8?q?=C3=A9t=C3=A9?="', "filename", "été"),
        ('a; filename="x=?utf-8?q?=C3=A9t=C3=A9_x?=.txt"', "filename", "xété x.txt"),
        ('a; filename="a\r\n b"', "filename", "a b"),
        ('a; boundary="=?utf-8?q?b?="', "boundary", "=?utf-8?q?b?="),
    ],
)  # fmt: skip
def test_parameters(value: str, parameter: str, expected: str) -> None:
    assert parse_value(value)[1][parameter] == expected


def test_properties_of_a_part() -> None:
    data = (
        b"Content-Type: image/PNG; name=a.png\r\nContent-Disposition: Inline; filename=b.png\r\n"
        b"Content-ID: <c@d> (e)\r\nContent-Language: de, en-GB (f)\r\nContent-Location: http://a/\r\n b\r\n"
        b"Content-Transfer-Encoding: BASE64\r\n\r\nAAAA\r\n"
    )
    properties = (
        "partId", "blobId", "size", "name", "type", "charset", "disposition", "cid", "language",
        "location", "subParts", "header:content-id", "header:X:asText:all",
    )  # fmt: skip
    assert part_json(parse(data).root, lambda part: "blob", properties) == {
        "partId": "1", "blobId": "blob", "size": 3, "name": "b.png", "type": "image/png", "charset": None,
        "disposition": "inline", "cid": "c@d", "language": ["de", "en-GB"], "location": "http://a/b",
        "subParts": None, "header:content-id": " <c@d> (e)", "header:X:asText:all": [],
    }  # fmt: skip
    with pytest.raises(ValueError, match="unknown"):
        part_json(parse(data).root, lambda part: "blob", ["nonsense"])


def test_a_multipart_has_neither_part_id_nor_blob() -> None:
    json = part_json(
        parse(MIXED + b"--b\r\n\r\nx\r\n--b--").root, lambda part: "B", ["partId", "blobId", "subParts"]
    )
    assert json == {
        "partId": None, "blobId": None, "subParts": [{"partId": "1", "blobId": "B", "subParts": None}],
    }  # fmt: skip


def test_convenience_properties_take_the_last_instance() -> None:
    email = convenience(parse(b"Subject: a\r\nsubject: b\r\nTo:\r\nDate: x\r\n\r\n").headers)
    assert (email["subject"], email["to"], email["sentAt"], email["from"]) == ("b", [], None, None)
    assert set(email) == {
        "messageId", "inReplyTo", "references", "sender", "from", "to", "cc", "bcc", "replyTo", "subject",
        "sentAt",
    }  # fmt: skip


def mixed(*parts: str) -> str:
    return _multipart("mixed", *parts)


def _multipart(subtype: str, *parts: str) -> str:
    boundary = f"b{abs(hash((subtype, parts)))}"
    body = "".join(f"--{boundary}\r\n{part}\r\n" for part in parts)
    return f"Content-Type: multipart/{subtype}; boundary={boundary}\r\n\r\n{body}--{boundary}--"


def _leaf(name: str, type_: str, disposition: str = "inline") -> str:
    return f"Content-Type: {type_}\r\nContent-Id: {name}\r\nContent-Disposition: {disposition}\r\n\r\n{name}"


def test_the_example_of_the_rfc_is_decomposed_as_there() -> None:
    related = _multipart("related", _leaf("E", "text/html"), _leaf("F", "image/jpeg"))
    b_to_d = mixed(_leaf("B", "text/plain"), _leaf("C", "image/jpeg"), _leaf("D", "text/plain"))
    inner = mixed(
        _multipart("alternative", b_to_d, related),
        _leaf("G", "image/jpeg", "attachment"),
        _leaf("H", "application/x-excel"),
        _leaf("J", "message/rfc822"),
    )
    message = parse(mixed(_leaf("A", "text/plain"), inner, _leaf("K", "text/plain")).encode())
    text, html, attachments = ["".join(part.cid or "" for part in found) for found in message.lists]
    assert (text, html, attachments) == ("ABCDK", "AEK", "CFGHJ")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([_leaf("A", "text/plain")], False),
        ([_leaf("A", "text/plain"), _leaf("B", "application/pdf", "attachment")], True),
        ([_leaf("A", "text/plain"), _leaf("B", "application/pdf", "inline")], False),
        ([_leaf("A", "text/plain"), "Content-Type: application/pdf\r\n\r\nx"], True),
        ([_leaf("A", "text/plain"), "Content-Type: application/pgp-signature\r\n\r\nx"], False),
        ([_leaf("A", "text/plain"), "Content-Type: message/delivery-status\r\n\r\nx"], False),
    ],
)
def test_has_attachment(parts: list[str], expected: bool) -> None:
    assert has_attachment(parse(mixed(*parts).encode())) is expected


@pytest.mark.parametrize(
    ("encoding", "data", "expected"),
    [
        ("7bit", b"a=3D", b"a=3D"),
        ("x-unknown", b"a=3D", b"a=3D"),
        ("base64", b"YWJj\r\nZGVm\r\n", b"abcdef"),
        ("base64", b"YWJjZA", b"abcd"),
        ("base64", b"YWJ!jZ\0A=", b"abcd"),
        ("base64", b"YWJjZ", b"abc"),
        ("base64", b"", b""),
        ("quoted-printable", b"a=3Db=\r\nc =\r\nd", b"a=bc d"),
        ("quoted-printable", b"trailing \t\r\nspace", b"trailing\r\nspace"),
        ("quoted-printable", b"=ZZ=", b"=ZZ"),
        ("x-uuencode", b"begin 644 x\n#86)C\n`\nend\n", b"abc"),
        ("x-uuencode", b"no begin", b"no begin"),
    ],
)
def test_transfer_decoding(encoding: str, data: bytes, expected: bytes) -> None:
    assert decode(data, encoding) == expected


@pytest.mark.parametrize(
    ("data", "label", "expected", "problem"),
    [
        (b"abc", None, "abc", False),
        (b"abc", "us-ascii", "abc", False),
        ("é".encode(), "us-ascii", "é", True),
        (b"\xe9", "us-ascii", "é", True),
        (b"\x93a\x94", "iso-8859-1", "\u201ca\u201d", False),
        ("é".encode(), "utf-8", "é", False),
        (b"a\xffb", "utf-8", "a\ufffdb", True),
        (b"abc", "nonsense", "abc", True),
        (b"\xe9", "nonsense", "é", True),
        ("é".encode(), "nonsense", "é", True),
        ("한".encode("cp949"), "ks_c_5601-1987", "한", False),
        ("€".encode("gb18030"), "GB2312", "€", False),
        ("ｱ".encode("cp932"), "Shift_JIS", "ｱ", False),
        (b"\x1b$B$3\x1b(B", "iso-2022-jp", "こ", False),
        ("שלום".encode("iso8859-8"), "iso-8859-8-i", "שלום", False),
        ("д".encode("mac_cyrillic"), "x-mac-cyrillic", "д", False),
        (b"+2AA-", "utf-7", "\ufffd", False),
        (b"abc", "rot13", "abc", True),
        (b"abc", "unicode_escape", "abc", True),
        (b"abc", "x" * 1000, "abc", True),
        (b"a\xe9", "windows-1252", "aé", False),
    ],
)
def test_charsets(data: bytes, label: str | None, expected: str, problem: bool) -> None:
    assert charset.decode(data, label) == (expected, problem)


def test_text_has_lf_line_ends_and_tells_of_an_unknown_encoding() -> None:
    assert decode_text(b"a\r\nb\n", "utf-8") == ("a\nb\n", False)
    assert decode_text(b"a", "utf-8", "x-unknown") == ("a", True)


@pytest.mark.parametrize(
    ("text", "octets", "is_html", "expected"),
    [
        ("abc", 0, False, ("abc", False)),
        ("abc", 3, False, ("abc", False)),
        ("abcd", 3, False, ("abc", True)),
        ("aéb", 2, False, ("a", True)),
        ("aéb", 3, False, ("aé", True)),
        ("ab<i>c", 4, True, ("ab", True)),
        ("ab<i>c", 5, True, ("ab<i>", True)),
        ("a😀", 4, False, ("a", True)),
    ],
)
def test_truncation(text: str, octets: int, is_html: bool, expected: tuple[str, bool]) -> None:
    assert truncate_text(text, octets, is_html) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"A: 1\n\n  Hello,\r\n\r\n\tworld  ", "Hello, world"),
        (b"A: 1\n\n> quoted\nMine\n> more", "Mine"),
        (b"A: 1\n\n> only quoted", "> only quoted"),
        (b"A: 1\n\nOn Monday, X wrote:\n> a\nMine", "Mine"),
        (b"Content-Type: text/html\n\n<style>p{}</style><p>a<b>b</b> &amp;<br>c<!-- d -->", "ab & c"),
        (b"Content-Type: text/html\n\n<p <p><script>x", ""),
        (b"Content-Type: image/png\n\nabc", ""),
        (b"A: 1\n\n" + b"word " * 5000, ("word " * 52)[:256].rstrip()),
        (b"A: 1\n\n" + "é".encode() * 5000, "é" * 256),
    ],
)
def test_preview(data: bytes, expected: str) -> None:
    assert preview(parse(data)) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", False),
        (b"\r\nA: 1", False),
        (b"no field\r\n", False),
        (b"A: 1", True),
        (b"From x\nA: 1\n", True),
    ],
)
def test_what_is_a_message(data: bytes, expected: bool) -> None:
    assert is_message(data) is expected
