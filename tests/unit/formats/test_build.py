"""Building messages: the constraints of RFC 8621 §4.6, and what is written."""

import email
import email.policy
import time
from contextlib import suppress
from typing import Any

import pytest

from veredus.formats.mime.build import BuildError, blob_ids, build

BLOBS = {"B": b"\x00\xff\x01", "T": b"line\nline\n", "M": b"Subject: x\n\nh\xe9\n", "H": b"<b>\xc3\xa9</b>"}


def built(given: dict[str, Any]) -> bytes:
    return build(given, load_blob=BLOBS, message_id="generated@example.com", date="2020-02-01T00:00:00Z")


def header_lines(given: dict[str, Any]) -> list[str]:
    return built(given).partition(b"\r\n\r\n")[0].decode().split("\r\n")


def problems(given: dict[str, Any]) -> list[str]:
    with pytest.raises(BuildError) as raised:
        built(given)
    assert raised.value.description
    return raised.value.properties


TEXT = {"textBody": [{"partId": "t"}], "bodyValues": {"t": {"value": "hi"}}}
PART = {"partId": "t"}
VALUES = {"t": {"value": "hi"}}


def structure(**part: Any) -> dict[str, Any]:
    return {"bodyStructure": {"partId": "t", **part}, "bodyValues": VALUES}


@pytest.mark.parametrize(
    ("given", "properties"),
    [
        ({"headers": []}, ["headers"]),
        ({"id": "x", "preview": "y"}, ["id", "preview"]),
        ({"from": [{"email": "a@b"}], "header:From": " a@b"}, ["header:From"]),
        ({"header:X-A": " 1", "header:x-a:asText": "2"}, ["header:x-a:asText"]),
        ({"header:Content-Language": " en"}, ["header:Content-Language"]),
        ({"header:content-type:asText": "text/html"}, ["header:content-type:asText"]),
        ({"header:From:asText": "x"}, ["header:From:asText"]),
        ({"header:Subject:asDate": "x"}, ["header:Subject:asDate"]),
        ({"header:X:asFoo": "x"}, ["header:X:asFoo"]),
        ({"header:": "x"}, ["header:"]),
        ({"header:X Y": "x"}, ["header:X Y"]),
        ({"header:X:all": " x"}, ["header:X:all"]),
        ({"header:X:asText:all": [1]}, ["header:X:asText:all"]),
        ({**TEXT, **structure()}, ["textBody"]),
        ({"htmlBody": [], "attachments": [], **structure()}, ["htmlBody", "attachments"]),
        ({"subject": "x", **structure(**{"header:Subject": " y"})}, ["bodyStructure/header:Subject"]),
        ({"textBody": [], "htmlBody": []}, ["textBody", "htmlBody"]),
        ({"textBody": [PART, PART], "bodyValues": VALUES}, ["textBody"]),
        ({"textBody": [{**PART, "type": "text/html"}], "bodyValues": VALUES}, ["textBody/0/type"]),
        ({"htmlBody": [{**PART, "type": "text/plain"}], "bodyValues": VALUES}, ["htmlBody/0/type"]),
        (structure(blobId="B"), ["bodyStructure/blobId"]),
        (structure(charset="utf-8"), ["bodyStructure/charset"]),
        (structure(size=3), ["bodyStructure/size"]),
        (structure(headers=[]), ["bodyStructure/headers"]),
        (structure(subject="x"), ["bodyStructure/subject"]),
        (
            structure(**{"header:Content-Transfer-Encoding": " 7bit"}),
            ["bodyStructure/header:Content-Transfer-Encoding"],
        ),
        (structure(type="text/plain", **{"header:Content-Type": " text/plain"}), ["bodyStructure/type"]),
        (structure(cid="x", **{"header:Content-ID": " <x>"}), ["bodyStructure/cid"]),
        (structure(partId="other"), ["bodyStructure/partId"]),
        (structure(type="text"), ["bodyStructure/type"]),
        (structure(type="multipart/mixed"), ["bodyStructure/partId", "bodyStructure/subParts"]),
        (structure(disposition="a b"), ["bodyStructure/disposition"]),
        (structure(name="a\r\nb"), ["bodyStructure/name"]),
        (structure(cid="a b"), ["bodyStructure/cid"]),
        (structure(language="en"), ["bodyStructure/language"]),
        (structure(location="a b"), ["bodyStructure/location"]),
        ({"bodyStructure": {"type": "text/plain"}}, ["bodyStructure"]),
        ({"bodyStructure": {"blobId": "none"}}, ["bodyStructure/blobId"]),
        ({"bodyStructure": {"subParts": [{"partId": "x"}]}}, ["bodyStructure/subParts/0/partId"]),
        ({"bodyStructure": {"subParts": []}}, ["bodyStructure/subParts"]),
        ({"bodyStructure": {"type": "text/plain", "subParts": [{"blobId": "B"}]}}, ["bodyStructure/type"]),
        ({"bodyValues": {"t": {"value": "x", "isTruncated": True}}}, ["bodyValues/t"]),
        ({"bodyValues": {"t": {"value": "x", "isEncodingProblem": True}}}, ["bodyValues/t"]),
        ({"bodyValues": {"t": {"value": "\ud800"}}}, ["bodyValues/t"]),
        ({"attachments": [{"blobId": "B"}, {"blobId": "none"}]}, ["attachments/1/blobId"]),
        ({"sentAt": "2020-02-30T00:00:00Z"}, ["sentAt"]),
        ({"subject": "x\ud800"}, ["subject"]),
        ({"from": [{"name": "x"}]}, ["from"]),
        ({"from": [{"email": "a@b", "foo": 1}]}, ["from"]),
    ],
)
def test_what_the_rfc_forbids_is_named(given: dict[str, Any], properties: list[str]) -> None:
    assert problems(given) == properties


@pytest.mark.parametrize(
    "given",
    [
        {"subject": "a\r\nBcc: b@c"},
        {"subject": "a\nb"},
        {"subject": "a\rb"},
        {"subject": "a\0b"},
        {"from": [{"name": "a\r\n", "email": "a@b"}]},
        {"from": [{"name": "a", "email": "a@b\r\n"}]},
        {"to": [{"email": "a@b\nX: y"}]},
        {"header:X": " a\r\nBcc: b@c"},
        {"header:X": " a\r\n\r\n body"},
        {"header:X": " a\r\n  \r\n b"},
        {"header:X": " a\n b"},
        {"header:X": " a\r\n"},
        {"header:X:asURLs": ["a>\r\nb"]},
        {"messageId": ["a\r\nb"]},
        {"messageId": ["a> <b"]},
        {"header:To:asGroupedAddresses": [{"name": "a\nb", "addresses": []}]},
    ],
)
def test_no_value_can_end_its_header_field(given: dict[str, Any]) -> None:
    assert problems(given) == list(given)


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "x", [], [1], [None], ["x"], {}, {"a": 1}, [[]], [{}]])
def test_json_of_the_wrong_type_is_a_build_error_or_taken(value: Any) -> None:
    names = [
        "from",
        "subject",
        "messageId",
        "sentAt",
        "bodyValues",
        "bodyStructure",
        "textBody",
        "attachments",
    ]
    forms = [
        "",
        ":asText",
        ":asAddresses",
        ":asGroupedAddresses",
        ":asMessageIds",
        ":asDate",
        ":asURLs",
        ":all",
    ]
    parts = [
        "partId",
        "blobId",
        "size",
        "name",
        "type",
        "charset",
        "disposition",
        "cid",
        "language",
        "subParts",
    ]
    given = [{name: value} for name in names]
    given += [{f"header:X{form}": value} for form in forms]
    given += [{"from": [{"name": value, "email": "a@b"}]}, {"from": [{"email": value}]}]
    given += [structure(**{name: value}) for name in (*parts, "location", "header:Content-Type")]
    given += [{"bodyValues": {"t": value}}, {"bodyValues": {"t": {"value": value}}}]
    for one in given:
        blob_ids(one)
        with suppress(BuildError):
            built(one)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"subject": "hello"}, "Subject: hello"),
        ({"subject": "Re: Bär da"}, "Subject: Re: =?utf-8?q?B=C3=A4r?= da"),
        ({"subject": "=?utf-8?q?x?="}, "Subject: =?utf-8?b?PT91dGYtOD9xP3g/PQ==?="),
        ({"from": [{"name": "Joe Bloggs", "email": "joe@x.com"}]}, "From: Joe Bloggs <joe@x.com>"),
        ({"from": [{"name": "Bloggs, J.", "email": "joe@x.com"}]}, 'From: "Bloggs, J." <joe@x.com>'),
        ({"from": [{"name": 'a"\\b', "email": "joe@x.com"}]}, 'From: "a\\"\\\\b" <joe@x.com>'),
        ({"to": [{"name": None, "email": "joe@x.com"}]}, "To: joe@x.com"),
        ({"to": [{"email": "a b@x.com"}]}, 'To: <"a b"@x.com>'),
        ({"to": [{"email": "half> <way"}]}, 'To: <"half> <way">'),
        ({"to": [{"email": "用户@例子.中国"}]}, "To: 用户@例子.中国"),
        ({"replyTo": [{"email": "a@b"}, {"email": "c@d"}]}, "Reply-To: a@b, c@d"),
        ({"inReplyTo": ["a@b", "c@d"]}, "In-Reply-To: <a@b> <c@d>"),
        ({"messageId": ["mine@b"]}, "Message-ID: <mine@b>"),
        ({"sentAt": "2018-07-10T11:03:11+10:00"}, "Date: Tue, 10 Jul 2018 11:03:11 +1000"),
        ({"sentAt": "2018-07-10T11:03:11Z"}, "Date: Tue, 10 Jul 2018 11:03:11 +0000"),
        ({}, "Date: Sat, 01 Feb 2020 00:00:00 +0000"),
        ({}, "Message-ID: <generated@example.com>"),
        ({}, "MIME-Version: 1.0"),
        ({"header:X-Raw": "unspaced ü"}, "X-Raw:unspaced ü"),
        ({"header:List-Post:asURLs": ["mailto:a@b", "http://c"]}, "List-Post: <mailto:a@b>, <http://c>"),
        ({"header:X:asText:all": ["1", "2"]}, "X: 2"),
        (
            {
                "header:To:asGroupedAddresses": [
                    {"name": None, "addresses": [{"email": "a@b"}]},
                    {"name": "My friends", "addresses": [{"email": "c@d"}, {"name": "E", "email": "e@f"}]},
                    {"name": "None", "addresses": []},
                ]
            },
            "To: a@b, My friends: c@d, E <e@f>;, None:;",
        ),
    ],
)
def test_header_fields(given: dict[str, Any], line: str) -> None:
    assert line in header_lines(given)


def test_what_is_null_or_empty_is_absent() -> None:
    lines = header_lines({"subject": None, "to": [], "cc": None, "header:X": None, "textBody": None})
    assert [line.partition(":")[0] for line in lines] == [
        "Message-ID",
        "Date",
        "MIME-Version",
        "Content-Type",
    ]


def test_a_raw_value_may_be_folded_already() -> None:
    assert header_lines({"header:X": " a\r\n b"})[1:3] != []
    assert b"\r\nX: a\r\n b\r\n" in built({"header:X": " a\r\n b"})


def test_lines_are_folded_and_nothing_is_lost() -> None:
    subject = "word " * 60 + "x" * 500 + "  two spaces"
    given = {
        "subject": subject,
        "to": [{"name": f"Person, {i}", "email": f"p{i}@example.com"} for i in range(40)],
    }
    message = built(given)
    lines = message.split(b"\r\n")
    assert [len(line) for line in lines if len(line) > 78] == [501]
    assert email.message_from_bytes(message, policy=email.policy.default)["subject"] == subject


def test_a_token_too_long_for_any_line_is_an_error() -> None:
    assert problems({"inReplyTo": ["x" * 1000]}) == ["inReplyTo"]
    assert len(max(built({"subject": "x" * 3000}).split(b"\r\n"), key=len)) <= 78


def test_the_body_structure_may_carry_header_fields_of_the_message() -> None:
    message = built(structure(**{"header:Content-Language": " en", "header:X": " y"}))
    lines = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert b"Content-Language: en" in lines
    assert b"X: y" in lines


def types(message: bytes) -> Any:
    def tree(part: Any) -> Any:
        if part.get_content_maintype() == "multipart":
            return {part.get_content_subtype(): [tree(p) for p in part.get_payload()]}
        return part.get_content_type()

    return tree(email.message_from_bytes(message, policy=email.policy.default))


def test_the_lists_become_a_tree() -> None:
    html = {"htmlBody": [{"partId": "h", "type": "text/html"}], "bodyValues": {"h": {"value": "<p>"}}}
    both = {**TEXT, **html, "bodyValues": {**TEXT["bodyValues"], **html["bodyValues"]}}
    inline = {"blobId": "B", "type": "image/png", "cid": "c@x"}
    file = {"blobId": "B", "type": "image/gif"}
    assert types(built({})) == "text/plain"
    assert types(built(TEXT)) == "text/plain"
    assert types(built(html)) == "text/html"
    assert types(built(both)) == {"alternative": ["text/plain", "text/html"]}
    assert types(built({**html, "attachments": [inline]})) == {"related": ["text/html", "image/png"]}
    assert types(built({**both, "attachments": [inline, file]})) == {
        "mixed": [{"alternative": ["text/plain", {"related": ["text/html", "image/png"]}]}, "image/gif"]
    }
    assert types(built({**TEXT, "attachments": [inline]})) == {"mixed": ["text/plain", "image/png"]}
    assert types(built({"attachments": [file]})) == {"mixed": ["image/gif"]}


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        ("plain\n", "7bit"),
        ("x" * 998, "7bit"),
        ("x" * 999, "quoted-printable"),
        ("mostly plain, with one ü", "quoted-printable"),
        ("项目报告", "base64"),
        ("nul\0 and all the rest of it", "quoted-printable"),
        ("lone\rreturn", "base64"),
    ],
)
def test_the_transfer_encoding_suits_the_text(value: str, encoding: str) -> None:
    message = email.message_from_bytes(built({**TEXT, "bodyValues": {"t": {"value": value}}}))
    assert message.get("Content-Transfer-Encoding", "7bit") == encoding
    assert message.get_payload(decode=True).decode() == value.replace("\n", "\r\n")


def test_a_message_within_a_message_is_not_encoded() -> None:
    message = built({"attachments": [{"blobId": "M", "type": "message/rfc822"}]})
    assert b"Content-Transfer-Encoding: 8bit\r\n\r\nSubject: x\r\n\r\nh\xe9\r\n" in message
    assert message.partition(b"\r\n\r\n")[0].endswith(b"Content-Transfer-Encoding: 8bit")


def test_the_boundary_occurs_in_no_part() -> None:
    first = built({"attachments": [{"blobId": "B"}]})
    boundary = first.partition(b'boundary="')[2].partition(b'"')[0]
    blobs = {"M": b"Subject: x\r\n\r\n--" + boundary + b"\r\n"}
    given = {"attachments": [{"blobId": "M", "type": "message/rfc822"}]}
    second = build(given, load_blob=blobs, message_id="generated@example.com", date="2020-02-01T00:00:00Z")
    assert second.count(b"--" + boundary) == 1
    assert types(second) == {"mixed": ["message/rfc822"]}


def test_a_content_type_of_the_clients_own_is_kept() -> None:
    flowed = structure(**{"header:Content-Type": " text/plain; format=flowed"})
    assert b"Content-Type: text/plain; format=flowed; charset=us-ascii\r\n" in built(flowed)
    signed = {
        "header:Content-Type": ' multipart/signed; micalg="pgp-sha256"; boundary=mine',
        "subParts": [{"blobId": "B"}],
    }
    assert b"\r\n--mine\r\n" in built({"bodyStructure": signed})
    signed["subParts"] = [{"blobId": "T", "type": "message/rfc822"}]
    clash = {"T": b"--mine\r\n"}
    with pytest.raises(BuildError):
        build({"bodyStructure": signed}, load_blob=clash, message_id="a@b", date="2020-02-01T00:00:00Z")


def test_blob_ids_are_found_everywhere() -> None:
    tree = {"subParts": [{"blobId": "1"}, {"subParts": [{"blobId": "2"}]}]}
    lists = {"textBody": [{"blobId": "3"}], "htmlBody": [{"blobId": "4"}], "attachments": [{"blobId": "5"}]}
    assert blob_ids({"bodyStructure": tree, **lists}) == {"1", "2", "3", "4", "5"}


def test_depth_is_bounded() -> None:
    part: dict[str, Any] = {"blobId": "B"}
    for _ in range(5000):
        part = {"subParts": [part]}
    assert problems({"bodyStructure": part})[0].endswith("/subParts")


def test_a_large_attachment_is_written_quickly() -> None:
    started = time.perf_counter()
    build(
        {"attachments": [{"blobId": "L"}]},
        load_blob={"L": bytes(10_000_000)},
        message_id="a@b",
        date="2020-02-01T00:00:00Z",
    )
    assert time.perf_counter() - started < 3
