"""Subjects, addresses, bodies and attachments that the suites of PHP mail parsers expect (corpus: mail-golden)."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from corpus.mail_corpus import CORPUS, crlf, lf, needs_corpus, read_json
from veredus.formats.mime.email import convenience
from veredus.formats.mime.message import Message, Part, decode_text, parse

pytestmark = needs_corpus

GOLDEN = CORPUS / "mail-golden"
PHP = sorted([*(GOLDEN / "php-mime-mail-parser").glob("*.json"), *(CORPUS / "mail-large").glob("*.json")])
ZBATESON = sorted((GOLDEN / "zbateson").glob("*.json"))
WEBKLEX = sorted((GOLDEN / "webklex").glob("*.json"))


# Webklex makes up a file name for a part that has none.
_INVENTED = re.compile(r"[0-9a-f]{8}")
WEBKLEX_EXCEPTIONS = {
    "exampleMyFile.txt": "it sanitizes file names; RFC 8621 §4.1.4 has them decoded only",
    "phpfoo": "it sanitizes file names; RFC 8621 §4.1.4 has them decoded only",
    "a1f965f10a9872e902a82dde039a237e863f522d238a1cb1968fe3396dbcac65": "octets it cuts out differently",
}


def _text(part: Part) -> str:
    return decode_text(part.content(), part.charset)[0]


def _body(message: Message, type_: str) -> str:
    """The text of the first body part of ``type_``, or nothing."""
    parts = [part for found in message.lists[:2] for part in found if part.type == type_]
    return _text(parts[0]) if parts else ""


def _assert_text(text: str, expected: list[Any]) -> None:
    if expected[0] == "MATCH":
        assert text == expected[1].replace("\r\n", "\n")
    else:
        assert text.count(expected[2].replace("\r\n", "\n")) == expected[1]


@pytest.mark.parametrize("path", PHP, ids=lambda path: path.name.split(".")[0])
def test_php_mime_mail_parser(path: Path) -> None:
    for golden in read_json(str(path)):
        source = path.with_name(golden["mail"])
        message = parse((source if source.exists() else source.with_suffix(".eml")).read_bytes())
        email = convenience(message.headers)
        assert email["subject"] == golden["subject"]
        for field in ("from", "to"):
            assert [address["email"] for address in email[field]] == [
                address["address"] for address in golden[field]
            ]
        _assert_text(_body(message, "text/plain"), golden["text"])
        _assert_text(_body(message, "text/html"), golden["html"])
        parts = {part.name or "noname1": part for part in message.root.walk() if not part.is_multipart}
        for attachment in golden["attachments"]:
            part = parts[attachment["filename"]]
            assert (part.size, part.type) == (attachment["size"], attachment["type"])
            if attachment["contains"]:
                assert _text(part).count(attachment["contains"]) == attachment["contains_count"]


@pytest.mark.parametrize("path", ZBATESON, ids=lambda path: path.name.split(".")[0])
def test_zbateson(path: Path) -> None:
    for golden in read_json(str(path)):
        message = parse((path.parent / f"{golden['mail']}.eml").read_bytes())
        email = convenience(message.headers)
        expected = golden["expected"]
        if (
            golden["mail"] != "m4001"
        ):  # raw Latin-1 in its header: U+FFFD, as RFC 8621 and the consensus have it
            assert (email["from"], email["to"]) == ([expected["From"]], [expected["To"]])
            assert email["subject"] == expected["Subject"]
        if name := expected.get("text"):
            file = (path.parent / "files" / name).read_bytes()
            assert "".join(_body(message, "text/plain").split()) == "".join(_decoded(file).split())


def _decoded(file: bytes) -> str:
    return decode_text(file, "utf-8")[0] if b"\xc3" in file else decode_text(file, "iso-8859-1")[0]


@pytest.mark.parametrize("path", WEBKLEX, ids=lambda path: path.name.split(".")[0])
def test_webklex(path: Path) -> None:
    for case in read_json(str(path)):
        for name in case["eml"]:
            if (path.parent / name).exists():
                _assert_webklex(parse((path.parent / name).read_bytes()), case["assertions"])


def _assert_webklex(message: Message, assertions: list[list[str]]) -> None:
    """Check those assertions that are about what a parser finds, not about the PHP API."""
    leaves = [part for part in message.root.walk() if not part.is_multipart]
    names = {" ".join((part.name or "").split()) for part in leaves}
    contents = [part.content() for part in leaves]
    hashes = {hashlib.sha256(ends(content)).hexdigest() for content in contents for ends in (bytes, lf, crlf)}
    for kind, arguments in assertions:
        if kind not in ("assertEquals", "assertSame"):
            continue
        match = re.fullmatch(r'["\']?(.*?)["\']?, (.*)', arguments, re.DOTALL)
        assert match is not None
        value, actual = match.groups()
        if actual in ("$message->subject", "(string)$message->subject"):
            assert " ".join((convenience(message.headers)["subject"] or "").split()) == value
        elif value in WEBKLEX_EXCEPTIONS or (
            actual == "$attachment->filename" and _INVENTED.fullmatch(value)
        ):
            continue
        elif actual == "$attachment->filename":
            assert value in names
        elif actual == 'hash("sha256", $attachment->content)':
            assert value in hashes
