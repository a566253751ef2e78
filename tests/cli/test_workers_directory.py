"""The directory of the workers: one for each parent, and none is left of those that were killed."""

import os
import tempfile
from pathlib import Path

import pytest

from veredus.cli.workers.directory import private_directory

LONG_AGO = (1e9, 1e9)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_private_and_gone_at_the_end() -> None:
    with private_directory() as path:
        assert path.stat().st_mode & 0o777 == 0o700
        (path / "1").mkdir()
    assert not path.exists()


def test_what_killed_parents_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left, just_made, other, elsewhere = (
        tmp_path / name for name in ("veredus-workers-a", "veredus-workers-b", "veredus-dev-a", "elsewhere")
    )
    for path in (left, just_made, other, elsewhere):
        path.mkdir()
        (path / "nats-server.conf").touch()
    link = tmp_path / "veredus-workers-link"
    link.symlink_to(elsewhere)
    os.utime(link, LONG_AGO, follow_symlinks=False)
    with private_directory() as used:
        for path in (left, other, elsewhere, used):
            os.utime(path, LONG_AGO)
        with private_directory():
            assert used.exists(), "it is still in use"
            assert not left.exists()
            assert all((path / "nats-server.conf").exists() for path in (just_made, other, elsewhere))
