"""The Authentication-Results field (RFC 8601): written, and recognized as one's own."""

import re
from collections.abc import Sequence

from msgspec import Struct

# RFC 2045 §5.1: what needs no quotation marks.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")
# pvalue (§2.2) may also be an address of plain atoms.
_ADDRESS = re.compile(r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]*@)?[A-Za-z0-9._-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_LINE = 78


class Result(Struct, frozen=True):
    """What one method found (§2.2). ``properties``: such as ("header.d", "example.com"), in order."""

    method: str
    result: str
    properties: Sequence[tuple[str, str]] = ()
    reason: str = ""

    def text(self) -> list[str]:
        """Its words; between them the line may be folded."""
        words = [f"{self.method}={self.result}"]
        if self.reason:
            words.append(f"reason={_quoted(self.reason)}")
        return [*words, *(f"{name}={_pvalue(value)}" for name, value in self.properties)]


def write(authserv_id: str, results: Sequence[Result]) -> bytes:
    """The whole field, folded, with its CRLF; without results it says so (§2.2, "none")."""
    lines = [
        f"Authentication-Results: {authserv_id if _TOKEN.fullmatch(authserv_id) else _quoted(authserv_id)};"
    ]
    if not results:
        lines[0] += " none"
    for result in results:
        end = "" if result is results[-1] else ";"
        lines.append("\t")
        for word in (words := result.text()):
            text = word + (end if word is words[-1] else "")
            if len(lines[-1]) > 1 and len(lines[-1]) + 1 + len(text) > _LINE:
                lines.append("\t")
            lines[-1] += text if lines[-1] == "\t" else f" {text}"
    return ("\r\n".join(lines) + "\r\n").encode()


def _pvalue(value: str) -> str:
    return value if _TOKEN.fullmatch(value) or _ADDRESS.fullmatch(value) else _quoted(value)


def _quoted(value: str) -> str:
    """A quoted-string (RFC 5322 §3.2.4). What cannot stand in one becomes a space."""
    text = _CONTROL.sub(" ", value).encode("utf-8", "replace").decode()
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def authserv_id(value: bytes) -> str | None:
    """Who claims to have written a field with this value, in lower case (§2.3); None: nobody can be made out.

    Comments may stand before it, and it may be a quoted-string.
    """
    text = value.decode("utf-8", "replace")
    at = _after_comments(text, 0)
    if text[at : at + 1] == '"':
        found = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL).match(text, at)
        name = None if found is None else re.sub(r"\\(.)|[\r\n]", r"\1", found[1])
    else:
        found = re.compile(r"[^\s;()\"]+").match(text, at)
        name = found[0] if found else None
    return name.lower() if name else None


def _after_comments(text: str, at: int) -> int:
    """Behind white space and comments (RFC 5322 §3.2.2), nested ones too."""
    depth = 0
    while at < len(text):
        character = text[at]
        if character == "\\" and depth:
            at += 1
        elif character == "(":
            depth += 1
        elif character == ")" and depth:
            depth -= 1
        elif not depth and not character.isspace():
            break
        at += 1
    return at
