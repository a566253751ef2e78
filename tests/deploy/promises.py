"""What files of deployment promise of Veredus, checked against Veredus itself: settings, commands, paths, times."""

import inspect
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer.main
from prometheus_client import CollectorRegistry
from typer.core import TyperGroup

from veredus.cli import main
from veredus.cli.workers import generation
from veredus.config.load import load
from veredus.config.settings import Config
from veredus.http.operations import Operations
from veredus.http.settings import Timeouts
from veredus.reception.server import Server

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"


def settings(environ: Mapping[str, str], file: Path | None = None) -> Config:
    """What Veredus makes of them. Raises ConfigError for whatever it does not know."""
    return load(file, {name: value for name, value in environ.items() if name.startswith("VEREDUS__")}).config


def port(address: str) -> int:
    return int(address.rpartition(":")[2])


async def _ready() -> list[str]:
    return []


PATHS = {route.template for route in Operations(_ready, CollectorRegistry()).routes(metrics=True)}


def seconds_to_stop(config: Config) -> float:
    """The longest that a node takes from SIGTERM to its end."""
    deliveries = inspect.signature(Server.close).parameters["timeout_s"].default
    one = max(deliveries, Timeouts().shutdown_s)
    return config.http.drain + (one if config.workers == 1 else generation._PATIENCE_S)


def parse(words: Sequence[str]) -> None:
    """A command line of `veredus` as the program reads it, without doing it. Raises what it would complain of."""
    command = typer.main.get_command(main.app)
    context = command.make_context("veredus", main._shared_options_first(words))
    while isinstance(command, TyperGroup):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def render(values: Mapping[str, object], chart: Mapping[str, object], program: Path) -> dict[str, str]:
    """The templates of the chart, by name. Raises CalledProcessError with what the templates refuse."""
    templates = DEPLOY / "helm" / "veredus" / "templates"
    given = {
        "values": values,
        "chart": {key[0].upper() + key[1:]: value for key, value in chart.items()},
        "release": {"Name": "mail", "Namespace": "post", "Service": "Helm"},
        "templates": {path.name: path.read_text() for path in templates.iterdir()},
    }
    done = subprocess.run([program], input=json.dumps(given), capture_output=True, text=True, check=True)
    rendered: dict[str, str] = json.loads(done.stdout)
    return rendered


def build_renderer(directory: Path) -> Path:
    """Go's templates with sprig. Raises CalledProcessError or OSError: Go or Debian's libraries are not here."""
    program = directory / "render"
    subprocess.run(
        ["go", "build", "-o", program, Path(__file__).with_name("render_chart.go")],
        env=os.environ | {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return program
