"""Structure, offsets and decoded octets that the suites of other parsers expect (corpus: mail-golden)."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from corpus.mail_corpus import CORPUS, crlf, lf, needs_corpus, read_json
from veredus.formats.mime.message import Part, decode_text, parse

pytestmark = needs_corpus

GOLDEN = CORPUS / "mail-golden"
STALWART = sorted((GOLDEN / "stalwart-mail-parser").glob("*/*.eml"))
MIME4J = sorted(GOLDEN.glob("mime4j-*/*.msg"))

_PREFIX = "a delimiter line is not any line that the boundary is a prefix of"
_UUENCODE = "Stalwart leaves x-uuencode encoded"
_ASCII = "8-bit text without charset is an encoding problem (RFC 8621 §4.1.4)"
STALWART_EXCEPTIONS = {
    "legacy/017": _UUENCODE,
    "legacy/026": _UUENCODE,
    "legacy/033": "Latin-1 labelled UTF-8 is an encoding problem",
    "malformed/001": _PREFIX,
    "malformed/002": "a multipart without delimiters has its text as the only part (as Cyrus)",
    "malformed/004": _PREFIX,
    "malformed/014": "a delimiter at the very end begins an empty part (as Cyrus and Python)",
    "malformed/016": _PREFIX,
    "malformed/017": "no semicolon, no boundary parameter (consensus)",
    "malformed/019": _ASCII,
    "malformed/022": "the closing delimiter is not part of an attached message",
    "thirdparty/002": "base64 ends at its padding; what decodes to garbage is no attachment for that",  # codespell:ignore
    "thirdparty/004": "an unknown transfer encoding is an encoding problem (RFC 8621 §4.1.4)",  # codespell:ignore
    "thirdparty/010": _ASCII,  # codespell:ignore
    "thirdparty/015": "an attached message does not end the multipart around it",  # codespell:ignore
}
MIME4J_EXCEPTIONS = {
    "mime4j-mimetools/frag": "the tail of broken base64: two octets more or less",
    "mime4j-mimetools/multi-frag": "the tail of broken base64: two octets more or less",
    "mime4j-testmsgs/basic-plain-with-bad-header-separator": "lines that are no fields belong to the body",
    "mime4j-testmsgs/malformedHeader-noheader": "lines that are no fields belong to the body",
    "mime4j-testmsgs/missing-boundary": "a multipart without delimiters has its text as the only part (as Cyrus)",
    "mime4j-testmsgs/very-very-long-boundary": "white space at the end of a line does not count (RFC 2046 §5.1.1)",
    "mime4j-testmsgs/weird-boundary": "white space at the end of a line does not count (RFC 2046 §5.1.1)",
}


def _cases(paths: list[Path], exceptions: dict[str, str]) -> list[Any]:
    """The files; those where we differ on purpose are expected to, with the reason."""
    names = {path: f"{path.parent.name}/{path.stem}" for path in paths}
    return [
        pytest.param(
            path,
            id=name,
            marks=[pytest.mark.xfail(reason=exceptions[name])] if name in exceptions else [],
        )
        for path, name in names.items()
    ]


def _stalwart_lists(golden: dict[str, Any]) -> list[list[int]]:
    """Its three lists; media in both bodies are no attachments in RFC 8621 §4.1.4, which Stalwart's are."""
    text, html = golden["text_body"], golden["html_body"]
    return [text, html, [index for index in golden["attachments"] if not (index in text and index in html)]]


def _same_part(part: Part, golden: dict[str, Any]) -> bool:
    if part.start != golden["offset_body"] or (not part.is_multipart and part.end != golden["offset_end"]):
        return False
    ((kind, body),) = golden["body"].items()
    if kind in ("Text", "Html"):
        text, problem = decode_text(part.content(), part.charset, part.encoding)
        return text == body.replace("\r\n", "\n") and problem == golden["is_encoding_problem"]
    return kind not in ("Binary", "InlineBinary") or part.content() == bytes(body)


@pytest.mark.parametrize("path", _cases(STALWART, STALWART_EXCEPTIONS))
@pytest.mark.parametrize("suffix", [".json", ".crlf.json"])
def test_parts_are_those_of_stalwart(path: Path, suffix: str) -> None:
    golden = read_json(str(path.with_suffix(suffix)))
    message = parse((lf if suffix == ".json" else crlf)(path.read_bytes()))
    parts = message.root.walk()
    numbers = {id(part): index for index, part in enumerate(parts)}
    assert len(parts) == len(golden["parts"])
    assert [[numbers[id(part)] for part in found] for found in message.lists] == _stalwart_lists(golden)
    assert [index for index, part in enumerate(parts) if not _same_part(part, golden["parts"][index])] == []


Tree = Any  # the octets of a leaf, ("message", tree) of an attached message, or a list of trees


def _tree(part: Part) -> Tree:
    if part.is_multipart:
        return [_tree(sub_part) for sub_part in part.sub_parts]
    if part.type == "message/rfc822":
        return ("message", _tree(parse(part.content()).root))
    return lf(part.content())


def _mime4j_tree(element: ET.Element, folder: Path) -> Tree:
    for child in element:
        if child.tag == "multipart":
            return [_mime4j_tree(part, folder) for part in child if part.tag == "body-part"]
        if child.tag in ("text-body", "binary-body"):
            return lf((folder / child.get("name", "")).read_bytes())
        if child.tag == "message":
            return ("message", _mime4j_tree(child, folder))
    return b""


@pytest.mark.parametrize("path", _cases(MIME4J, MIME4J_EXCEPTIONS))
def test_trees_and_decoded_octets_are_those_of_mime4j(path: Path) -> None:
    expected = ET.fromstring(path.with_name(f"{path.stem}_decoded.xml").read_bytes())
    assert _tree(parse(path.read_bytes()).root) == _mime4j_tree(expected, path.parent)
