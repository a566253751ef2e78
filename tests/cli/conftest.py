"""What the tests of commands use."""

from pathlib import Path

import pytest

from cli.running import Run, Runner


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
