"""Elements of BER (X.690 §8), as far as CMS needs them: one-octet tags, lengths of both forms.

Own, since what makes signatures sends indefinite lengths and sets in any order (Thunderbird does), which DER
readers refuse; see docs/adr/0027-smime.md. Whatever the octets are, work and memory are bounded.
"""

from collections.abc import Iterator
from typing import NamedTuple

SEQUENCE, SET, INTEGER, OID, OCTET_STRING = 0x30, 0x31, 0x02, 0x06, 0x04
_CONSTRUCTED = 0x20
# Elements in each other, and in all: a signed message of 200 MB in chunks of 1,000 octets is read.
_MAX_DEPTH = 40
_MAX_ELEMENTS = 1_000_000
_MAX_CHILDREN = 10_000


class BERError(ValueError):
    """These octets are no BER, or more of it than anybody needs."""


class Element(NamedTuple):
    """An element's first identifier octet, and where it stands: ``[start, end)`` with the contents inside."""

    tag: int
    start: int
    first: int
    last: int
    end: int


class Reader:
    """Elements of one piece of BER, read when they are asked for."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = _MAX_ELEMENTS
        # Where the contents of elements of unknown length end, so that each is looked through once.
        self._ends: dict[int, int] = {}

    def root(self) -> Element:
        """The first element; what follows it is ignored, as other readers do."""
        return self._read(0, len(self.data), 0)

    def children(self, element: Element) -> list[Element]:
        """The elements in a constructed one."""
        found = []
        for child in self._inside(element):
            found.append(child)
            if len(found) > _MAX_CHILDREN:
                raise BERError("too many elements")
        return found

    def contents(self, element: Element) -> bytes:
        return self.data[element.first : element.last]

    def octets(self, element: Element) -> bytes:
        """The value of a string, which may come in pieces (§8.7.3)."""
        return b"".join(self._pieces(element, 0))

    def der(self, element: Element, tag: int | None = None) -> bytes:
        """The element with definite lengths, and with another identifier if ``tag`` is given."""
        return self._der(element, element.tag if tag is None else tag, 0)

    def _pieces(self, element: Element, depth: int) -> Iterator[bytes]:
        if depth > _MAX_DEPTH:
            raise BERError("nested too deep")
        if element.tag & _CONSTRUCTED:
            for child in self._inside(element):
                yield from self._pieces(child, depth + 1)
        else:
            yield self.contents(element)

    def _der(self, element: Element, tag: int, depth: int) -> bytes:
        if depth > _MAX_DEPTH:
            raise BERError("nested too deep")
        if tag & _CONSTRUCTED:
            inside = b"".join(self._der(child, child.tag, depth + 1) for child in self._inside(element))
        else:
            inside = self.contents(element)
        return bytes((tag,)) + _length(len(inside)) + inside

    def _inside(self, element: Element) -> Iterator[Element]:
        if not element.tag & _CONSTRUCTED:
            raise BERError("a primitive element where others should be in it")
        position = element.first
        while position < element.last:
            child = self._read(position, element.last, 0)
            yield child
            position = child.end

    def _read(self, start: int, end: int, depth: int) -> Element:
        self._left -= 1
        if self._left < 0 or depth > _MAX_DEPTH:
            raise BERError("too many elements")
        if start + 2 > end:
            raise BERError("ends too early")
        tag, octet, first = self.data[start], self.data[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise BERError("a tag of several octets")
        if octet == 0x80:
            return self._indefinite(tag, start, end, depth)
        length = octet
        if octet > 0x80:
            first += octet & 0x7F
            length = int.from_bytes(self.data[start + 2 : first])
        if octet > 0x88 or first + length > end:
            raise BERError("longer than what it is in")
        return Element(tag, start, first, first + length, first + length)

    def _indefinite(self, tag: int, start: int, end: int, depth: int) -> Element:
        """An element that ends with two zero octets (§8.1.3.6)."""
        if not tag & _CONSTRUCTED:
            raise BERError("a primitive element of unknown length")
        position = self._ends.get(start, start + 2)
        while self.data[position : min(position + 2, end)] != b"\0\0":
            position = self._read(position, end, depth + 1).end
        self._ends[start] = position
        return Element(tag, start, start + 2, position, position + 2)


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((0x80 | len(octets),)) + octets


def dotted(contents: bytes) -> str:
    """An object identifier in dots (§8.19)."""
    if not contents or contents[-1] & 0x80 or len(contents) > 40:
        raise BERError("no object identifier")
    numbers = [0]
    for octet in contents:
        numbers[-1] = numbers[-1] << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(0)
    first, *rest = numbers[:-1]
    root = min(first // 40, 2)
    return ".".join(str(number) for number in (root, first - 40 * root, *rest))
