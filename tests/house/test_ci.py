"""The rules of the test suite itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from house.sources import ROOT

SKIPPING = """
import pytest

@pytest.mark.service
def test_with_a_server():
    pytest.skip("no server")

def test_with_a_corpus():
    pytest.skip("no corpus")
"""


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 failed, 1 skipped"), ("", "2 skipped")])
def test_a_service_test_that_skips_fails_under_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(SKIPPING)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"),
         f"--rootdir={tmp_path}", str(tmp_path)],
        env=os.environ | {"CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert outcome in done.stdout, done.stdout + done.stderr
