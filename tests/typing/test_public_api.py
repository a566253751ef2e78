"""What a type checker says of programs that use the client."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent


def check(*files: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache" / "api"), *map(str, files)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout


def test_a_right_program_is_right_and_a_wrong_one_is_not() -> None:
    """``wrong.py`` says in a comment which error belongs to each line."""
    wrong = HERE / "wrong.py"
    found = {
        int(line.split(":")[1]): line.rpartition("[")[2].rstrip("]")
        for line in check(HERE / "right.py", wrong).splitlines()
        if ": error: " in line
    }
    wanted = {
        number: line.partition("# error: ")[2]
        for number, line in enumerate(wrong.read_text().splitlines(), 1)
        if "# error: " in line
    }
    assert found == wanted
