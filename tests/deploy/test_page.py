"""docs/deployment.md names commands and files that exist."""

import re
import shlex

import pytest

from deploy.promises import ROOT, parse

PAGE = (ROOT / "docs" / "deployment.md").read_text()
CODE = re.sub(r"\\\n", " ", "\n".join(line for line in PAGE.splitlines() if line.startswith("    ")))
COMMANDS = re.findall(r"\bveredus ((?:account|backup|bridge|config|db|doctor|serve)\b[^>\n]*)", CODE)


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) > 4


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_of_the_page_exists(command: str) -> None:
    parse(shlex.split(command))


def test_a_file_of_the_page_exists() -> None:
    named = set(re.findall(r"(?<![\w/])(deploy/[\w./*@-]+\w|requirements-\w+\.lock)", CODE))
    # What `make-secrets` makes is not there before.
    assert [name for name in named - {"deploy/secrets"} if not list(ROOT.glob(name))] == []
    assert "deploy/make-secrets" in named


def test_the_times_of_the_page_are_those_of_the_files() -> None:
    deploy = ROOT / "deploy"
    unit = (deploy / "systemd" / "veredus.service").read_text()
    drop_in = (deploy / "systemd" / "veredus.service.d" / "cluster.conf").read_text()
    compose = (deploy / "compose.yaml").read_text()
    values = (deploy / "helm" / "veredus" / "values.yaml").read_text()
    (drain,) = re.findall(r"(?m)^drainSeconds: (\d+)", values)
    for name, pair in {
        "systemd": (re.findall(r"DRAIN=(\d+)s", drop_in), re.findall(r"TimeoutStopSec=(\d+)", unit)),
        "compose": (
            re.findall(r"DRAIN: (\d+)s", compose),
            re.findall(r"(?m)^  stop_grace_period: (\d+)s", compose),
        ),
        "Helm": ([drain], [str(int(drain) + 45)]),
    }.items():
        (line,) = re.findall(rf"(?m)^\| {name}.*", PAGE.partition("**Stopping")[2])
        assert [*pair[0], *pair[1]] == re.findall(r"(\d+) s", line), name
