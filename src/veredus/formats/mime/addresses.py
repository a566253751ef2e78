"""The Addresses and GroupedAddresses forms of a header field (RFC 8621 §4.1.2.3-4, RFC 5322 §3.4 and §4.4).

Best effort: whatever stands in the field, every address that a person would see in it is found.
"""

import re
from typing import TypedDict

from veredus.formats.mime.comments import comment_end, strip_comments
from veredus.formats.mime.encoded_word import decode_words, normalize, unfold
from veredus.formats.mime.parameters import unquote


class Address(TypedDict):
    """An EmailAddress object (§4.1.2.3)."""

    name: str | None
    email: str


class Group(TypedDict):
    """An EmailAddressGroup object (§4.1.2.4); name is None for addresses outside any group."""

    name: str | None
    addresses: list[Address]


# One mailbox as nearly every sender writes it; group 1 or 2 is the name, group 3 the address.
_PLAIN = re.compile(
    r"\s*+(?:([A-Za-z0-9]++(?:[ .'-]?[A-Za-z0-9]++)*+)\s*+|\"([^\"\\\r\n=]*+)\"\s*+)?"
    r"<([^\s<>@\"(),:;\\]++@[^\s<>@\"(),:;\\]++)>\s*+",
    re.ASCII,
)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |"(?P<quoted>[^"\\]*+(?:\\.[^"\\]*+)*+)"
    |<(?P<angle>[^<>"]*(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^<>"]*)*)>
    |(?P<literal>\[[^\[\]]*\])
    |(?P<mark>[(),:;<])
    |(?P<text>(?:[^\s"<>()\[,:;\\]|\\.)++|.)""",
    re.VERBOSE | re.DOTALL,
)
_ROUTE = re.compile(r"@[^:]*:")
_QUOTED = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")')


def as_addresses(value: str) -> list[Address]:
    """The mailboxes of a raw value, those in groups too, in order."""
    if match := _PLAIN.fullmatch(value):
        plain, quoted, email = match.groups()
        return [{"name": plain or (quoted and quoted.strip()) or None, "email": email}]
    return [address for group in _Parser(unfold(value)).parse() for address in group["addresses"]]


def as_grouped_addresses(value: str) -> list[Group]:
    """The mailboxes of a raw value by group; consecutive ones outside groups share one without a name."""
    return _Parser(unfold(value)).parse()


class _Parser:
    """State while walking over the tokens of one address-list."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.groups: list[Group] = []
        self.in_group = False
        self.comments_close = True  # until one is found that does not: looking again would be quadratic
        self._clear()

    def _clear(self) -> None:
        self.phrase: list[str] = []  # decoded display-name so far
        self.run: list[str] = []  # words of it not yet decoded: encoded words are decoded run by run
        self.words: list[list[str]] = []  # the same words as written, in pieces
        self.at = -1  # the first of these that has an "@"
        self.spaced = False
        self.angle: str | None = None
        self.comment: str | None = None

    def parse(self) -> list[Group]:
        position = 0
        while match := _TOKEN.match(self.text, position):
            position = match.end()
            kind = match.lastgroup
            if kind == "mark":
                position = self._mark(match.group(), match.start())
            elif kind == "space":
                self.run.append(" ")
                self.spaced = True
            elif kind == "quoted":
                self._quoted(match["quoted"])
            elif kind == "angle":
                self._angle(match["angle"])
            elif match.group() != '"':  # a quote that is never closed is dropped
                self._word(match.group())
        self._end_of_mailbox()
        return self.groups

    def _mark(self, mark: str, start: int) -> int:
        """Act on one of the special characters; returns where to go on."""
        after = start + 1
        if mark == ",":
            self._end_of_mailbox()
        elif mark == ";":
            self._end_of_mailbox()
            self.in_group = False
        elif mark == ":":
            self._colon()
        elif mark == "(":
            return self._comment(start)
        elif mark == "<":
            # Never closed: the address ends where the next mailbox can begin.
            end = self.text.find(",", after)
            end = len(self.text) if end < 0 else end
            self._angle(self.text[after:end])
            return end
        return after

    def _comment(self, start: int) -> int:
        end = comment_end(self.text, start) if self.comments_close else -1
        if end < 0:
            self.comments_close = False
            self.spaced = True
            return start + 1
        if self.comment is None and (self.angle is not None or self.at >= 0):
            self.comment = normalize(decode_words(unquote(self.text[start + 1 : end - 1]))).strip()
        self.run.append(" ")
        self.spaced = True
        return end

    def _colon(self) -> None:
        """The end of a group's name, unless there is none."""
        if self.in_group or self.angle is not None or self.at >= 0:
            self._word(":")
            return
        self.groups.append({"name": self._display_name() or None, "addresses": []})
        self.in_group = True
        self._clear()

    def _quoted(self, content: str) -> None:
        self._decode_run()
        # No encoded word may be in a quoted-string (RFC 2047 §5), but that is where many senders put them.
        self.phrase.append(decode_words(unquote(content)))
        self._raw(f'"{content}"')

    def _word(self, word: str) -> None:
        self.run.append(word)
        self._raw(word)

    def _raw(self, word: str) -> None:
        """Keep a word as written; space around "@" and "." is obsolete syntax, not the end of a word."""
        last = self.words[-1][-1] if self.words else ""
        has_at = self.at >= 0 and self.at == len(self.words) - 1
        glued = last.endswith("@") or word[0] in "@." or (has_at and last.endswith("."))
        if self.words and (glued or not self.spaced):
            self.words[-1].append(word)
        else:
            self.words.append([word])
        if self.at < 0 and "@" in word:
            self.at = len(self.words) - 1
        self.spaced = False

    def _decode_run(self) -> None:
        if self.run:
            self.phrase.append(decode_words("".join(self.run)))
            self.run.clear()

    def _angle(self, content: str) -> None:
        if self.angle is not None:  # the comma between two mailboxes is missing
            self._end_of_mailbox()
        self.angle = _addr_spec(content)

    def _display_name(self) -> str:
        self._decode_run()
        return normalize(" ".join("".join(self.phrase).split()))

    def _end_of_mailbox(self) -> None:
        address = self._mailbox()
        self._clear()
        if address is None:
            return
        if not self.in_group and (not self.groups or self.groups[-1]["name"] is not None):
            self.groups.append({"name": None, "addresses": []})
        self.groups[-1]["addresses"].append(address)

    def _mailbox(self) -> Address | None:
        if self.angle is not None:
            name = self._display_name() or self.comment or None
            return {"name": name, "email": self.angle} if self.angle or name else None
        if not self.words:
            return None
        if self.at >= 0:
            words = ["".join(pieces) for pieces in self.words[: self.at + 1]]
            name = normalize(decode_words(" ".join(words[:-1]))) or self.comment or None
            return {"name": name, "email": words[-1]}
        # Words that are no address still tell a reader something.
        return {"name": self._display_name(), "email": ""}


def _addr_spec(content: str) -> str:
    """The address between angle brackets without route, comments and white space."""
    if "(" in content:
        content = strip_comments(content)
    if content.startswith("@") and (match := _ROUTE.match(content)):
        content = content[match.end() :]
    if '"' not in content:
        return "".join(content.split())
    pieces = _QUOTED.split(content)
    pieces[::2] = ["".join(piece.split()) for piece in pieces[::2]]
    return "".join(pieces)
