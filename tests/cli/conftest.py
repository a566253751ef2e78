"""What the tests of commands use."""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from argon2 import PasswordHasher

from cli.running import Run, Runner
from veredus.auth import password


@pytest.fixture(autouse=True, scope="module")
def _cheap_runs() -> Iterator[None]:
    """Typer would make all commands anew for each run in this process, and a hash is dear by intention."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        patch.setattr(password, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """A command on the data in ./data of a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VEREDUS__DATA_DIR", str(tmp_path / "data"))
    return lambda *argv: Run(capsys, *argv)


@pytest.fixture
def alice(run: Runner) -> str:
    """The id of the account of alice@example.com."""
    account: str = run("account", "add", "alice@example.com", "--json").json["account"]
    return account
