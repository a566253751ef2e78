"""How commands and tests are declared: what they take, and what makes them run.

An extension is one ``Extension`` value: its commands, its tests, and the tags that it adds to others.
``extensions/table.py`` lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

from veredus.formats.sieve.errors import SieveError
from veredus.formats.sieve.texts import Texts

if TYPE_CHECKING:
    from veredus.formats.sieve.lexer import Source
    from veredus.formats.sieve.limits import Limits
    from veredus.formats.sieve.state import Command, Test


class Kind(Enum):
    """What an argument must be; a string will do for a string list (RFC 5228 §2.4.2.1)."""

    NUMBER = "a number"
    STRING = "a string"
    STRINGS = "a string or a list of strings"


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagged argument, with the argument that follows it. Of one ``group`` only one tag may be given."""

    name: str
    takes: Kind | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """A command or a test.

    ``optional``: the one of the positional arguments that may be missing. ``traits``: names under which
    extensions add tags to it, besides its own. ``build`` is called once for each place where it stands; it
    may raise SieveError by ``args.error``.
    """

    name: str
    build: Callable[[Arguments], Command] | Callable[[Arguments], Test]
    positional: tuple[Kind, ...] = ()
    tags: tuple[Tag, ...] = ()
    traits: tuple[str, ...] = ()
    optional: Literal["none", "first", "last"] = "none"
    tests: Literal["none", "one", "many"] = "none"
    has_block: bool = False


@dataclass(frozen=True, slots=True)
class Extension:
    """``capabilities``: any of them in a require gives all that is in here; none: the base language.

    ``tags``: by name or trait of the commands and tests that get them.
    """

    capabilities: tuple[str, ...]
    commands: tuple[Spec, ...] = ()
    tests: tuple[Spec, ...] = ()
    tags: Mapping[str, tuple[Tag, ...]] = field(default_factory=dict)


class Compiling(Protocol):
    """What a command or test sees of the script in which it stands.

    ``required``: the capabilities that count from here on. ``capabilities``: all that there are. ``loops``:
    the commands with a block that it is in, innermost last.
    """

    source: Source
    limits: Limits
    required: set[str]
    loops: list[Arguments]

    @property
    def capabilities(self) -> Collection[str]: ...

    def tag(self, spec: Spec, name: str, offset: int) -> Tag:
        """The tag of a command or test; SieveError if it has none of that name, or needs a require."""
        ...

    def check_capability(self, capability: str, name: str, offset: int) -> None:
        """SieveError if ``name`` needs what was not required."""
        ...

    def charge_regex(self, size: int) -> None:
        """ValueError if the regular expressions of the script are too much to compile."""
        ...


@dataclass(slots=True)
class Arguments:
    """What was given to one command or test, of the kinds that its Spec asks for.

    ``given``: tag to what follows it, True if nothing does. ``choices``: group to tag. ``positional``: None
    stands for one that was left out. ``places``: where each of these stands, by tag or by number.
    """

    compiler: Compiling
    name: str
    offset: int
    given: dict[str, Texts | int | Literal[True]] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    positional: list[Texts | int | None] = field(default_factory=list)
    places: dict[str | int, int] = field(default_factory=dict)
    tests: list[Test] = field(default_factory=list)
    block: Command | None = None

    def has(self, tag: str) -> bool:
        return tag in self.given

    def texts(self, at: int | str) -> Texts:
        """The strings of a positional argument, or of a tag that was given."""
        value = self.given[at] if isinstance(at, str) else self.positional[at]
        assert isinstance(value, Texts)
        return value

    def optional(self, at: int | str) -> Texts | None:
        """The same, or None if it was not given."""
        value = self.given.get(at) if isinstance(at, str) else self.positional[at]
        return value if isinstance(value, Texts) else None

    def number(self, at: int | str) -> int | None:
        value = self.given.get(at) if isinstance(at, str) else self.positional[at]
        return value if isinstance(value, int) else None

    def constant(self, at: int | str, what: str) -> str:
        """The string of an argument that no variable may be in; ``what`` it is, for the error."""
        found = self.texts(at).constant
        if found is None:
            raise self.error(f"{what} must be a constant string", at)
        return found[0]

    def error(self, message: str, at: int | str | None = None) -> SieveError:
        """To raise: what is wrong with the argument at ``at``, or with the whole."""
        offset = self.offset if at is None else self.places.get(at, self.offset)
        return self.compiler.source.error(message, offset)
