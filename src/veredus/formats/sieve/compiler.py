"""From a script's commands to functions: names, capabilities, order and nesting (RFC 5228 §2.9-2.10, §3)."""

from collections.abc import Collection, Sequence
from typing import cast

from veredus.formats.sieve.binding import bind
from veredus.formats.sieve.catalogue import Catalogue, Entry
from veredus.formats.sieve.comparators import ALWAYS
from veredus.formats.sieve.errors import RunError, SieveError
from veredus.formats.sieve.lexer import Source
from veredus.formats.sieve.limits import Limits
from veredus.formats.sieve.script import Script
from veredus.formats.sieve.signature import Arguments, Spec, Tag
from veredus.formats.sieve.state import Command, Flow, Run, Test
from veredus.formats.sieve.syntax import Node, parse


class _MissingCapability(SieveError):
    """What stands here needs an extension that was not required, or that there is not."""


class Compiler:
    """One script being compiled: a ``Compiling``, which explains what is public here."""

    def __init__(self, source: Source, limits: Limits, catalogue: Catalogue) -> None:
        self.source = source
        self.limits = limits
        self._catalogue = catalogue
        self.required: set[str] = set()
        self.loops: list[Arguments] = []
        self._regex_size = 0

    @property
    def capabilities(self) -> Collection[str]:
        return self._catalogue.capabilities

    def script(self) -> Script:
        nodes = parse(self.source, self.limits)
        first = next((at for at, node in enumerate(nodes) if node.name != "require"), len(nodes))
        for node in nodes[:first]:
            self._require(node)
        body = self.block(nodes[first:])
        return Script(frozenset(self.required), self.limits, body)

    def _require(self, node: Node) -> None:
        if len(node.arguments) != 1 or not isinstance(node.arguments[0].value, tuple):
            raise self.source.error("require takes a string or a list of strings", node.offset)
        if node.tests or node.block is not None:
            raise self.source.error("require takes no tests and no block", node.offset)
        for capability in node.arguments[0].value:
            if capability not in self._catalogue.capabilities:
                raise self.source.error(
                    f'there is no extension "{capability}" here', node.arguments[0].offset
                )
            self.required.add(capability)

    # ------------------------------------------------------------ commands

    def block(self, nodes: Sequence[Node]) -> Command:
        """The commands of a block as one."""
        commands: list[tuple[int, Command]] = []
        at = 0
        while at < len(nodes):
            end = at + 1
            if nodes[at].name == "if":
                while end < len(nodes) and nodes[end].name in ("elsif", "else"):
                    end += 1
                    if nodes[end - 1].name == "else":
                        break
                command = self._branches(nodes[at:end])
            else:
                command = self._command(nodes[at])
            commands.append((self.source.line(nodes[at].offset), command))
            at = end
        return _sequence(commands)

    def _branches(self, nodes: Sequence[Node]) -> Command:
        branches: list[tuple[Test, Command]] = []
        for node in nodes:
            if node.arguments:
                raise self.source.error(f"{node.name} takes no argument", node.arguments[0].offset)
            wanted = 0 if node.name == "else" else 1
            if len(node.tests) != wanted or node.has_test_list:
                raise self.source.error(f"{node.name} takes {('no', 'one')[wanted]} test", node.offset)
            test = self._test(node.tests[0]) if wanted else _always
            branches.append((test, self._body(node)))
        return _choice(branches)

    def _command(self, node: Node) -> Command:
        if node.name in ("elsif", "else"):
            raise self.source.error(f"{node.name} without an if before it", node.offset)
        if node.name == "require":
            raise self.source.error("require stands before all other commands", node.offset)
        try:
            return self._known_command(node)
        except _MissingCapability as error:
            return cast("Command", _failing(self._put_off(error)))

    def _known_command(self, node: Node) -> Command:
        spec = self._spec(self._catalogue.commands, node, "command")
        args = bind(self, node, spec)
        self._bind_tests(args, node, spec)
        if spec.has_block:
            self.loops.append(args)
            args.block = self._body(node)
            self.loops.pop()
        elif node.block is not None:
            raise self.source.error(f"{node.name} takes no block", node.offset)
        return cast("Command", spec.build(args))

    def _body(self, node: Node) -> Command:
        if node.block is None:
            raise self.source.error(f"{node.name} needs a block", node.offset)
        return self.block(node.block)

    # ------------------------------------------------------------ tests

    def _test(self, node: Node) -> Test:
        try:
            spec = self._spec(self._catalogue.tests, node, "test")
            args = bind(self, node, spec)
            self._bind_tests(args, node, spec)
            return _counted(cast("Test", spec.build(args)))
        except _MissingCapability as error:
            return _failing(self._put_off(error))

    def _bind_tests(self, args: Arguments, node: Node, spec: Spec) -> None:
        if spec.tests == "none" and node.tests:
            raise self.source.error(f"{node.name} takes no test", node.tests[0].offset)
        if spec.tests == "one" and (len(node.tests) != 1 or node.has_test_list):
            raise self.source.error(f"{node.name} takes one test", node.offset)
        if spec.tests == "many" and not node.has_test_list:
            raise self.source.error(f"{node.name} takes a list of tests in parentheses", node.offset)
        args.tests = [self._test(test) for test in node.tests]

    # ------------------------------------------------------------ capabilities

    def _spec(self, entries: dict[str, Entry[Spec]], node: Node, kind: str) -> Spec:
        entry = entries.get(node.name)
        if entry is None:
            raise self._missing(f"there is no {kind} {node.name}", node.offset)
        self._check(entry, node.name, node.offset)
        return entry.value

    def tag(self, spec: Spec, name: str, offset: int) -> Tag:
        entry = self._catalogue.tag(spec, name)
        if entry is None:
            raise self._missing(f"{spec.name} has no argument :{name}", offset)
        self._check(entry, f":{name}", offset)
        return entry.value

    def _check(self, entry: "Entry[Spec] | Entry[Tag]", name: str, offset: int) -> None:
        if entry.capabilities and self.required.isdisjoint(entry.capabilities):
            raise self._missing(f'{name} needs require "{entry.capabilities[0]}"', offset)

    def check_capability(self, capability: str, name: str, offset: int) -> None:
        if capability not in self.required and capability not in ALWAYS:
            raise self._missing(f'{name} needs require "{capability}"', offset)

    def charge_regex(self, size: int) -> None:
        self._regex_size += size
        if self._regex_size > self.limits.max_regex_size:
            raise ValueError("the regular expressions of this script are too many or too large")

    def _missing(self, message: str, offset: int) -> SieveError:
        error = self.source.error(message, offset)
        return _MissingCapability(error.message, error.line, error.column)

    def _put_off(self, error: SieveError) -> str:
        """With ihave what is missing is an error only for whoever comes there (RFC 5463 §4)."""
        if "ihave" not in self.required:
            raise error
        return error.message


# ---------------------------------------------------------------- what runs


def _sequence(commands: list[tuple[int, Command]]) -> Command:
    def sequence(run: Run) -> Flow | None:
        for line, command in commands:
            run.line = line
            run.step()
            flow = command(run)
            if flow is not None:
                return flow
        return None

    return sequence


def _choice(branches: list[tuple[Test, Command]]) -> Command:
    def choice(run: Run) -> Flow | None:
        for test, body in branches:
            if test(run):
                return body(run)
        return None

    return choice


def _counted(built: Test) -> Test:
    def test(run: Run) -> bool:
        run.step()
        return built(run)

    return test


def _always(run: Run) -> bool:
    return True


def _failing(message: str) -> Test:
    """What cannot be done, as a test; as a command it does no better."""

    def fail(run: Run) -> bool:
        raise RunError(message)

    return fail
