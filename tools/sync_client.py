"""Write veredus.client.sync, the client without async, from the async classes.

``python -m tools.sync_client`` writes it, ``--check`` says whether it is as it should be. A method that
cannot be translated is an error, never left out silently.
"""

import ast
import builtins
import copy
import importlib.util
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from tools.sync_parts import EVENT, INIT, OPENING, REPLICA

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "src" / "veredus" / "client" / "sync"
# Each module of the sync client: the async modules it is made of, and their classes.
MODULES: dict[str, dict[str, list[str]]] = {
    "query": {"veredus.client.query": ["Query"]},
    "batch": {"veredus.client.batch": ["Batch"]},
    "blobs": {"veredus.client.blobs": ["Download"]},
    "mail": {
        "veredus.client.mail.search": ["Search"],
        "veredus.client.mail.compose": ["Draft"],
        "veredus.client.mail.mail": ["Mail"],
    },
    "events": {"veredus.client.watch.events": ["Created", "Updated", "Destroyed", "Resync", "Complete"]},
    "client": {"veredus.client.client": ["Client"]},
    "replica": {"veredus.client.replica.replica": ["Replica"]},
}
HOME = {name: file for file, sources in MODULES.items() for names in sources.values() for name in names}
# Of the async client alone: a loop of one's own is what they are for.
LEFT_OUT = {("Client", "push"), ("Client", "hub"), ("Replica", "open"), ("Replica", "close")}
# Written by hand, and the names in that.
BY_HAND = {
    "Client": (OPENING, {"TracebackType"}),
    "Replica": (REPLICA, {"Client", "Id", "Mapping", "Path", "Sequence", "TracebackType"}),
}
# What a constructor sets, and its type.
ATTRIBUTES = {"Download": {"size": "int | None", "type": "str"}, "Mail": {"account": "Id"}}
# Names in signatures that mean something else here.
ELSEWHERE = {
    "Data": "veredus.client.portal",
    "Event": "veredus.client.sync.events",
    "shown": "veredus.client.sync.events",
}
# Arguments that are iterated, and what makes them fit for the loop.
CROSSING = {
    frozenset({"Data"}): "octets",
    frozenset({"Emails", "Addresses", "Iterable"}): "whole",
}
RENAMED = {
    "AsyncIterator": "Iterator",
    "AsyncGenerator": "Generator",
    "AbstractAsyncContextManager": "AbstractContextManager",
}
SPECIAL = {"__aenter__": "__enter__", "__aexit__": "__exit__", "__aiter__": "__iter__"}
CLOSING = "``contextlib.closing``"
# What a signature may name that is nothing to import.
LOCAL = {"self", "cls"}
IMPORTED = {
    "Iterator": "collections.abc",
    "Generator": "collections.abc",
    "AbstractContextManager": "contextlib",
    "Portal": "veredus.client.portal",
    "octets": "veredus.client.portal",
    "whole": "veredus.client.portal",
    "Generic": "typing",
    "Literal": "typing",
    "TypeAlias": "typing",
    "TracebackType": "types",
    "overload": "typing",
}


class Source:
    """An async module, parsed: its classes, and where each name in it comes from."""

    def __init__(self, module: str) -> None:
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        self.module = module
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        self.rfcs = set(re.findall(r"RFC \d+", ast.get_docstring(tree) or ""))
        self.classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
        self.origins: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                self.origins |= {alias.asname or alias.name: node.module for alias in node.names}
        for node in tree.body:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            self.origins |= {target.id: module for target in targets if isinstance(target, ast.Name)}
        self.origins |= dict.fromkeys(self.classes, module)


class Signature(ast.NodeTransformer):
    """Annotations and defaults as the sync client has them; ``names`` collects what must be imported."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Name(self, node: ast.Name) -> ast.AST:
        name = RENAMED.get(node.id, node.id)
        self.names.add(name)
        return ast.Name(name)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if base_of(node) == "Literal":
            self.names.add("Literal")
            return node
        if base_of(node) == "AsyncGenerator":
            items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            node = ast.Subscript(node.value, ast.Tuple([items[0], ast.Constant(None), ast.Constant(None)]))
        return self.generic_visit(node)


def base_of(annotation: ast.AST | None) -> str:
    """The name of a type without its arguments."""
    match annotation:
        case ast.Subscript(value=ast.Name(id=name)) | ast.Name(id=name):
            return name
        case ast.Constant(value=str(text)):
            return base_of(ast.parse(text, mode="eval").body)
    return ""


def argument_of(annotation: ast.AST | None) -> ast.expr | None:
    """The first argument of a type."""
    if not isinstance(annotation, ast.Subscript):
        return None
    return annotation.slice.elts[0] if isinstance(annotation.slice, ast.Tuple) else annotation.slice


class Class:
    """One class of the sync client, as text."""

    def __init__(self, source: Source, name: str, signature: Signature) -> None:
        self.name, self.signature, self.node = name, signature, source.classes[name]
        self.alias = f"_{source.module.rpartition('.')[2]}"
        self.bases = [base for base in self.node.bases if base_of(base) == "Generic"]
        inherited = [base_of(base) for base in self.node.bases if base_of(base) in source.classes]
        members = [member for base in inherited for member in source.classes[base].body]
        self.members = [*members, *self.node.body]
        self.is_struct = bool(inherited)

    def lines(self) -> Iterator[str]:
        generic = ", ".join(ast.unparse(base) for base in self.bases)
        if generic:
            self.signature.names |= {"Generic", "R"}
        self.signature.names.add("Portal")
        of = f"{self.alias}.{self.name}" + ("[R]" if generic else "")
        yield f"\n\nclass {self.name}{f'({generic})' if generic else ''}:"
        yield indented(docstring(self.node) or '"""As in the async client."""', 4)
        yield f"\n    def __init__(self, portal: Portal, of: {of}) -> None:"
        yield "        self._portal, self._of = portal, of"
        if self.name in BY_HAND:
            text, needed = BY_HAND[self.name]
            self.signature.names |= needed
            yield text.rstrip()
        for attribute, type in ATTRIBUTES.get(self.name, {}).items():
            self.signature.visit(ast.parse(type))
            yield f"\n    @property\n    def {attribute}(self) -> {type}:"
            yield f"        return self._of.{attribute}"
        for member in self.members:
            if isinstance(member, ast.AnnAssign) and self.is_struct:
                yield from self.field(member)
            elif isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and self.is_public(member.name):
                yield from self.method(member)

    def is_public(self, name: str) -> bool:
        opening = ("__aenter__", "__aexit__")
        if name in opening:
            return self.name not in BY_HAND
        if name.startswith("_") and name not in ("__aiter__", "__repr__"):
            return False
        return (self.name, name) not in LEFT_OUT

    def field(self, node: ast.AnnAssign) -> Iterator[str]:
        assert isinstance(node.target, ast.Name)
        if base_of(node.annotation) == "Entry":
            return
        annotation = ast.unparse(self.signature.visit(node.annotation))
        yield f"\n    @property\n    def {node.target.id}(self) -> {annotation}:"
        yield f"        return self._of.{node.target.id}"

    def method(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
        decorators = [ast.unparse(each) for each in node.decorator_list]
        kept = [each for each in decorators if each != "asynccontextmanager"]
        assert set(kept) <= {"overload", "property", "classmethod"}, f"{self.name}.{node.name}: {kept}"
        self.signature.names |= {"overload"} & set(kept)
        returns = node.returns
        if "asynccontextmanager" in decorators:
            managed = argument_of(returns)
            assert managed is not None, f"{self.name}.{node.name}: what it yields is not said"
            returns = ast.Subscript(ast.Name("AbstractAsyncContextManager"), managed)
        yield ""
        yield from (f"    @{each}" for each in kept)
        name = SPECIAL.get(node.name, node.name)
        yield f"    def {name}({self.shown(node.args)}) -> {self.shown(returns)}:"
        if "overload" in kept:
            yield "        ..."
            return
        if docstring(node):
            yield indented(docstring(node), 8)
        yield f"        {self.body(node, returns, decorators)}"

    def shown(self, node: ast.arguments | ast.expr | None) -> str:
        """A part of a signature, translated; the source stays as it is."""
        return ast.unparse(self.signature.visit(copy.deepcopy(node))) if node is not None else "None"

    def body(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, returns: ast.expr | None, decorators: list[str]
    ) -> str:
        base = base_of(returns)
        if "classmethod" in decorators:
            return f"return cls(Portal(), {self.alias}.{self.name}.{node.name}({passed(node.args)}))"
        if node.name == "__aiter__":
            value = "aiter(self._of)"
        elif "property" in decorators:
            value = f"self._of.{node.name}"
        else:
            given = passed(node.args)
            self.signature.names |= {name for name in CROSSING.values() if f"{name}(" in given}
            value = f"self._of.{node.name}({given})"
        if base in ("AsyncIterator", "AsyncGenerator"):
            item = self.wrapped(argument_of(returns), "item")
            source = f"self._portal.iterate({value})"
            return f"return {source if item == 'item' else f'({item} for item in {source})'}"
        if base == "AbstractAsyncContextManager":
            return f"return self._portal.manage({value}, {base_of(argument_of(returns))})"
        if isinstance(node, ast.AsyncFunctionDef):
            value = f"self._portal.call({value})"
        if node.name == "__aenter__":
            return f"{value}\n        return self"
        return f"return {self.wrapped(returns, value)}"

    def wrapped(self, annotation: ast.expr | None, value: str) -> str:
        """What a caller gets for ``value``, which is of that type."""
        if base_of(annotation) == "Event":
            self.signature.names.add("shown")
            return f"shown(self._portal, {value})"
        if base_of(annotation) in HOME:
            self.signature.names.add(base_of(annotation))
            return f"{base_of(annotation)}(self._portal, {value})"
        text = ast.unparse(annotation) if annotation is not None else ""
        assert "Async" not in text, f"{self.name}: no translation of {text}"
        assert not any(base_of(part) in HOME for part in ast.walk(annotation or ast.Pass())), text
        return value


def passed(arguments: ast.arguments) -> str:
    """A call with what the caller gave."""
    positional = [*arguments.posonlyargs, *arguments.args]
    words = [_value(each) for each in positional if each.arg not in ("self", "cls")]
    if arguments.vararg:
        words.append(f"*{arguments.vararg.arg}")
    words += [f"{each.arg}={_value(each)}" for each in arguments.kwonlyargs]
    if arguments.kwarg:
        words.append(f"**{arguments.kwarg.arg}")
    return ", ".join(words)


def _value(argument: ast.arg) -> str:
    """An argument, translated where it is to be iterated in the loop."""
    inside = {base_of(part) for part in ast.walk(argument.annotation or ast.Pass())}
    for types, function in CROSSING.items():
        if inside & types:
            return f"{function}({argument.arg})"
    return argument.arg


def docstring(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """As source, without what is said of async."""
    text = ast.get_docstring(node)
    if text is None:
        return ""
    for said, here in (
        ("async ", ""),
        ("await ", ""),
        ("asynchronous ", ""),
        ("``contextlib.aclosing``", CLOSING),
    ):
        text = text.replace(said, here)
    return f'"""{text}"""' if "\n" not in text else f'"""{text}\n"""'


def indented(text: str, by: int) -> str:
    return textwrap.indent(text, " " * by)


def module(file: str, sources: dict[str, list[str]]) -> str:
    """One module of the sync client."""
    signature = Signature()
    origins: dict[str, str] = {}
    lines: list[str] = []
    imports: set[str] = set()
    for name, classes in sources.items():
        source = Source(name)
        origins |= source.origins
        package, _, own = name.rpartition(".")
        imports.add(f"from {package} import {own} as _{own}")
        for each in classes:
            lines += Class(source, each, signature).lines()
    if file == "events":
        lines.append(EVENT)
        signature.names |= {"TypeAlias", "R"}
    imports |= {f"from {where(name, file, origins)} import {name}" for name in needed(signature.names, file)}
    rfcs = sorted({rfc for name in sources for rfc in Source(name).rfcs})
    of = "".join(f"\n{name}" for name in sources)
    about = f" ({', '.join(rfcs)})" if rfcs else ""
    head = f'"""Written by tools/sync_client.py{about}, from:\n{of}\n"""\n'
    variables = ""
    if "R" in signature.names:
        imports |= {"from typing import TypeVar", "from veredus.client.record import Record"}
        variables = '\nR = TypeVar("R", bound=Record)\n'
    return formatted("\n".join([head, *sorted(imports), variables, *lines]) + "\n")


def needed(names: set[str], file: str) -> set[str]:
    """What is to be imported."""
    own = {name for name, home in HOME.items() if home == file}
    return {name for name in names - own if not hasattr(builtins, name) and name != "R"} - LOCAL


def where(name: str, file: str, origins: dict[str, str]) -> str:
    if name in HOME:
        return f"veredus.client.sync.{HOME[name]}"
    return ELSEWHERE.get(name) or IMPORTED.get(name) or origins[name]


def formatted(source: str) -> str:
    for command in (["check", "--quiet", "--select", "I,F401", "--fix"], ["format", "--quiet"]):
        name = ["--stdin-filename", str(TARGET / "x.py"), "-"]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *name],
            input=source, capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        source = done.stdout
    return source


def files() -> dict[Path, str]:
    """Each file of the sync client, as it should be."""
    every = {TARGET / f"{file}.py": module(file, sources) for file, sources in MODULES.items()}
    shown = [f"from veredus.client.sync.{HOME[name]} import {name} as {name}" for name in sorted(HOME)]
    every[TARGET / "__init__.py"] = formatted("\n".join([INIT, *shown]) + "\n")
    return every


def main() -> int:
    """0: all is as it should be."""
    stale = [path for path, text in files().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what tools/sync_client.py writes: run it")
        return 1 if stale else 0
    TARGET.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
