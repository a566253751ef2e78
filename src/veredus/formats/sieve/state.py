"""A script on its way through one message: what it has seen, set and decided so far."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from veredus.formats.mime.message import Message
from veredus.formats.sieve.environment import Environment
from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.headers import Headers
from veredus.formats.sieve.limits import Limits
from veredus.formats.sieve.outcome import Action, Duplicate

if TYPE_CHECKING:
    from veredus.formats.mime.part import Part


class Flow(Enum):
    """Why a block ends before its last command."""

    STOP = "stop"  # the whole run
    RETURN = "return"  # this script, but not the one that included it (RFC 6609 §3.3)
    BREAK = "break"  # a loop (RFC 5703 §3)


Command = Callable[["Run"], Flow | None]
Test = Callable[["Run"], bool]


@dataclass(slots=True)
class Scope:
    """The variables of one script; ``shared`` are those that it declared global (RFC 6609 §3.4)."""

    name: str = ""  # of an included script
    key: tuple[str, str] | None = None  # where it is from, and its name
    variables: dict[str, str] = field(default_factory=dict)
    shared: set[str] = field(default_factory=set)
    groups: tuple[str, ...] = ()  # ${0}, ${1} and so on: of the last :matches or :regex that did


class Run:
    """The state that commands change and tests look at."""

    def __init__(self, message: Message, environment: Environment, limits: Limits) -> None:
        self.message = message
        self.environment = environment
        self.limits = limits
        self.headers = Headers(message)
        self.steps = 0
        self.line = 0
        self.actions: list[Action] = []
        self.keeps = True  # the implicit keep (RFC 5228 §2.10.2)
        self.flags: tuple[str, ...] = ()
        self.duplicates: dict[str, Duplicate] = {}
        self.scope = Scope()
        self.shared: dict[str, str] = {}
        self.scopes: list[Scope] = []  # of the scripts that wait for an included one
        self.included: set[tuple[str, str]] = set()
        self.breaking: str | None = None  # the name of the loop that Flow.BREAK ends; None: the innermost
        self.parts: list[Part] = []  # the MIME part that each foreverypart is at, innermost last
        self.added_headers = 0  # octets
        self.answered = False  # vacation was used
        self.texts: dict[Part, str] = {}  # decoded bodies
        self.seen: dict[Part, str] = {}  # what a reader sees of those in HTML
        self.nested: dict[Part, Part] = {}  # the root of each message within the message

    def step(self, cost: int = 1) -> None:
        """Pay for a command or a test; RunError when too much was done."""
        self.steps += cost
        if self.steps > self.environment.max_steps:
            raise RunError(f"the script does more than {self.environment.max_steps} steps")

    def act(self, action: Action) -> None:
        if len(self.actions) >= self.limits.max_actions:
            raise RunError(f"more than {self.limits.max_actions} actions")
        self.actions.append(action)

    @property
    def edited(self) -> bytes | None:
        """The message as editheader left it; None: as it came."""
        return self.headers.edited

    def variable(self, name: str) -> str:
        """The value of a variable, by its lower-case name; "" if it was never set."""
        if name.startswith("global."):
            return self.shared.get(name[7:], "")
        return self._variables(name).get(name, "")

    def set_variable(self, name: str, value: str) -> None:
        variables, name = self._variables(name), name.removeprefix("global.")
        if name not in variables and len(variables) >= self.limits.max_variables:
            raise RunError(f"more than {self.limits.max_variables} variables")
        variables[name] = value[: self.limits.max_variable]

    def _variables(self, name: str) -> dict[str, str]:
        if name in self.scope.shared or name.startswith("global."):
            return self.shared
        return self.scope.variables
