"""The header fields of the message that a script sees, and their edited form (RFC 5293)."""

import re
from functools import cached_property
from itertools import pairwise

from veredus.formats.mime.encoded_word import as_text
from veredus.formats.mime.message import Message
from veredus.formats.sieve.addresses import addresses_in
from veredus.formats.sieve.errors import RunError

# As veredus.formats.mime.header reads it, but on octets: what is not edited stays as it came.
_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:(?:[^\n]*+(?:\n[ \t][^\n]*+)*+)\n?", re.MULTILINE)

_MAX_VERSIONS = 5
_LF = re.compile(rb"(?<!\r)\n")


class Headers:
    """Fields by lower-case name, decoded once. Edits are made on a copy."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._names = [header.name.lower() for header in message.headers]
        self._values = [header.value for header in message.headers]
        self._raw: list[bytes] | None = None  # the octets of each field, once one was edited
        self._head = self._tail = b""
        self._texts: dict[str, tuple[str, ...]] = {}
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._by_name: dict[str, list[str]] = {}
        self._edited: bytes | None = None
        self._versions = 0

    def names(self) -> list[str]:
        """The name of each field, first to last."""
        return self._names

    def raw(self, name: str) -> list[str]:
        """The raw values of a field, first to last."""
        if not self._by_name:
            for field, value in zip(self._names, self._values, strict=True):
                self._by_name.setdefault(field, []).append(value)
        return self._by_name.get(name, [])

    def texts(self, name: str) -> tuple[str, ...]:
        """Its values unfolded, decoded, without white space at both ends (RFC 5228 §2.4.2.2)."""
        found = self._texts.get(name)
        if found is None:
            found = self._texts[name] = tuple(as_text(value).strip() for value in self.raw(name))
        return found

    def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses in all of its values."""
        found = self._addresses.get(name)
        if found is None:
            found = tuple(address for value in self.raw(name) for address in addresses_in(value))
            self._addresses[name] = found
        return found

    @property
    def size(self) -> int:
        """Octets of the message as it is now."""
        if self._raw is None:
            return len(self._message.data)
        root = self._message.root
        return sum(map(len, (self._head, *self._raw, self._separator))) + len(root.data) - root.start

    @property
    def edited(self) -> bytes | None:
        """The whole message with its new header; None: nothing was edited.

        RunError if there are too many versions of it: each is a copy of the message.
        """
        if self._raw is None:
            return None
        if self._edited is None:
            self._versions += 1
            if self._versions > _MAX_VERSIONS:
                raise RunError(f"the header is edited between more than {_MAX_VERSIONS} actions")
            root = self._message.root
            body = memoryview(root.data)[root.start :]
            self._edited = b"".join((self._head, *self._raw, self._separator, body))
        return self._edited

    @property
    def _separator(self) -> bytes:
        """The blank line behind the fields, which a message without a body may lack."""
        is_there = self._tail.startswith((b"\n", b"\r\n")) or not self._raw
        return self._tail if is_there else self._end_of_line + self._tail

    @cached_property
    def _end_of_line(self) -> bytes:
        return b"\n" if _LF.search(self._message.root.data, 0, 65_536) else b"\r\n"

    def add(self, name: str, raw: bytes, *, last: bool) -> None:
        """Put a field before or behind all others; ``raw``: its octets with CRLF line ends."""
        fields = self._fields()
        end = self._end_of_line
        if last and fields and not fields[-1].endswith(b"\n"):
            fields[-1] += end
        at = len(fields) if last else 0
        fields.insert(at, raw.replace(b"\r\n", end))
        self._names.insert(at, name.lower())
        self._values.insert(at, raw.partition(b":")[2].decode("utf-8", "replace").removesuffix("\r\n"))
        self._forget()

    def delete(self, name: str, numbers: list[int]) -> None:
        """Take away those fields of a name that have these numbers, counted from 0."""
        fields = self._fields()
        positions = [at for at, field in enumerate(self._names) if field == name]
        for at in sorted((positions[number] for number in numbers), reverse=True):
            del fields[at], self._names[at], self._values[at]
        self._forget()

    def _forget(self) -> None:
        self._texts.clear()
        self._addresses.clear()
        self._by_name.clear()
        self._edited = None

    def _fields(self) -> list[bytes]:
        """The octets of each field; what stands between two and is none goes with the one before."""
        if self._raw is None:
            root = self._message.root
            block = root.data[: root.start]
            found = list(_FIELD.finditer(block))
            starts = [match.start() for match in found]
            end = found[-1].end() if found else 0
            self._head = block[: starts[0]] if starts else b""
            self._raw = [block[start:stop] for start, stop in pairwise([*starts, end])] if starts else []
            self._tail = block[end:]
        return self._raw
