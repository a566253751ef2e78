"""Who may import what, beyond the layers that import-linter checks (pyproject.toml). ADR 0010."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from house.sources import python_files

# A library may be imported only below these modules.
LIBRARIES = {
    "aiohttp": {"veredus.push", "veredus.client", "veredus.bridge", "veredus.inspection", "veredus.relay"},
    "apsw": {"veredus.store", "veredus.blob"},
    "argon2": {"veredus.auth"},
    "cryptography": {
        "veredus.formats.dkim",
        "veredus.formats.dkim_verify",
        "veredus.formats.smime",
        "veredus.formats.smime_certificate",
        "veredus.formats.smime_signature",
        "veredus.formats.smime_trust",
        "veredus.formats.webpush",
        "veredus.relay.dane",
    },
    "dns": {"veredus.client", "veredus.resolver"},
    "httptools": {"veredus.http"},
    "idna": {"veredus.domains", "veredus.relay"},
    "nats": {"veredus.bus", "veredus.bridge"},
    "nkeys": {"veredus.bridge"},
    "obstore": {"veredus.blob"},
    "prometheus_client": {"veredus.http", "veredus.serving", "veredus.bridge", "veredus.pytest_plugin"},
    "re2": {"veredus.formats.sieve"},
    "rich": {"veredus.cli"},
    "selectolax": {"veredus.formats"},
    "spf": {"veredus.inspection"},
    "typer": {"veredus.cli"},
    "uritemplate": {"veredus.client"},
    "uvicorn": {"veredus.http", "veredus.serving"},
    "uvloop": {"veredus.http", "veredus.app", "veredus.cli"},
    "websockets": {"veredus.http"},
    "yarl": {"veredus.push", "veredus.client", "veredus.relay"},
}
# Implementations of the ports are named in app alone; every other part knows the port.
DRIVERS = ("veredus.store", "veredus.blob", "veredus.bus", "veredus.auth")
MAY_NAME_DRIVERS = {"veredus.app"}
# No implementation of a port but a child process; its parent must stay small, and import no app.
CHILDREN = {("veredus.cli.workers.supervisor", "veredus.bus.nats_server")}
# formats is pure: bytes in, values out. What it may use besides the standard library:
FORMATS = {"cryptography", "msgspec", "re2", "selectolax", "veredus.formats"}


def imports() -> Iterator[tuple[str, str, int]]:
    """Each import of src as (module, what it imports, line)."""
    for path, tree in python_files("src"):
        module = _module(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((module, f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")


def _below(module: str, tops: "set[str] | tuple[str, ...]") -> bool:
    return any(module == top or module.startswith(f"{top}.") for top in tops)


def test_a_library_is_imported_only_where_it_belongs() -> None:
    assert [
        f"{module}:{line} imports {name}"
        for module, name, line in imports()
        if (top := name.partition(".")[0]) in LIBRARIES and not _below(module, LIBRARIES[top])
    ] == []


def test_only_app_names_an_implementation() -> None:
    assert [
        f"{module}:{line} imports {name}"
        for module, name, line in imports()
        if _below(name, DRIVERS)
        and not _below(module, MAY_NAME_DRIVERS)
        and module.split(".")[:2] != name.split(".")[:2]
        and (module, name.rpartition(".")[0]) not in CHILDREN
    ] == []


def test_formats_imports_nothing_of_ours_and_no_io_library() -> None:
    assert [
        f"{module}:{line} imports {name}"
        for module, name, line in imports()
        if _below(module, ("veredus.formats",))
        and name.partition(".")[0] not in sys.stdlib_module_names
        and not _below(name, FORMATS)
    ] == []
