"""The generic grammar (RFC 5228 §8.2): commands and tests, before anyone knows what they mean."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from veredus.formats.sieve.errors import SieveError
from veredus.formats.sieve.lexer import Source, Token, tokens
from veredus.formats.sieve.limits import Limits

_SURROGATE = re.compile("[\ud800-\udfff]")


class Argument(NamedTuple):
    """``value``: the name of a tag, a number, or strings; a single string is not a list (``is_list``)."""

    value: "str | int | tuple[str, ...]"
    offset: int
    is_list: bool = False


@dataclass(slots=True)
class Node:
    """A command or a test. ``block`` None: it ends with a semicolon, or is a test."""

    name: str
    offset: int
    arguments: list[Argument] = field(default_factory=list)
    tests: list["Node"] = field(default_factory=list)
    has_test_list: bool = False
    block: "list[Node] | None" = None


def parse(source: Source, limits: Limits) -> list[Node]:
    """The commands of a script. SieveError if it does not keep to the grammar."""
    if len(source.text) > limits.max_size:
        raise source.error(f"the script is longer than {limits.max_size} characters", 0)
    if lone := _SURROGATE.search(source.text):
        raise source.error("half of a surrogate pair is no character", lone.start())
    return _Parser(source, limits).script()


class _Parser:
    def __init__(self, source: Source, limits: Limits) -> None:
        self._source = source
        self._tokens: Iterator[Token] = tokens(source)
        self._max_nesting = limits.max_nesting
        self._nesting = 0
        self._next = next(self._tokens)

    def script(self) -> list[Node]:
        commands = []
        while self._next.kind != "end":
            commands.append(self._command())
        return commands

    def _take(self) -> Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _is_mark(self, mark: str) -> bool:
        return self._next.kind == "mark" and self._next.text == mark

    def _expected(self, what: str) -> SieveError:
        token = self._next
        found = "a string" if token.kind == "string" else token.text
        return self._source.error(f"{what} expected, not {found}", token.offset)

    def _expect(self, mark: str) -> None:
        if not self._is_mark(mark):
            raise self._expected(f'"{mark}"')
        self._take()

    def _deeper(self, offset: int) -> None:
        self._nesting += 1
        if self._nesting > self._max_nesting:
            raise self._source.error(f"nested more than {self._max_nesting} deep", offset)

    def _command(self) -> Node:
        if self._next.kind != "identifier":
            raise self._expected("a command")
        node = self._node()
        if self._is_mark(";"):
            self._take()
        elif self._is_mark("{"):
            node.block = self._block()
        else:
            raise self._expected('";" or a block')
        return node

    def _block(self) -> list[Node]:
        opened = self._take()
        self._deeper(opened.offset)
        commands = []
        while not self._is_mark("}"):
            if self._next.kind == "end":
                raise self._source.error("this block is never closed", opened.offset)
            commands.append(self._command())
        self._take()
        self._nesting -= 1
        return commands

    def _node(self) -> Node:
        """A name with its arguments and tests."""
        name = self._take()
        node = Node(name.text, name.offset)
        while (argument := self._argument()) is not None:
            node.arguments.append(argument)
        if self._next.kind == "identifier":
            self._deeper(self._next.offset)
            node.tests.append(self._node())
            self._nesting -= 1
        elif self._is_mark("("):
            self._deeper(self._take().offset)
            node.has_test_list = True
            node.tests.append(self._test())
            while self._is_mark(","):
                self._take()
                node.tests.append(self._test())
            self._expect(")")
            self._nesting -= 1
        return node

    def _test(self) -> Node:
        if self._next.kind != "identifier":
            raise self._expected("a test")
        return self._node()

    def _argument(self) -> Argument | None:
        token = self._next
        if token.kind == "tag":
            self._take()
            return Argument(token.text, token.offset)
        if token.kind == "number":
            self._take()
            return Argument(token.number, token.offset)
        if token.kind == "string":
            self._take()
            return Argument((token.text,), token.offset)
        if self._is_mark("["):
            return self._string_list()
        return None

    def _string_list(self) -> Argument:
        offset = self._take().offset
        strings = [self._string()]
        while self._is_mark(","):
            self._take()
            strings.append(self._string())
        self._expect("]")
        return Argument(tuple(strings), offset, is_list=True)

    def _string(self) -> str:
        if self._next.kind != "string":
            raise self._expected("a string")
        return self._take().text
