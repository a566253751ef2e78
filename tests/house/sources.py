"""The files that the house rules are about."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# Not of the project, where there is no git to ask (an unpacked archive).
BUILT = re.compile(r"\.git|\.venv.*|__pycache__|\..*_cache|\.hypothesis|build|dist|.*\.egg-info")


@cache
def project_files() -> list[Path]:
    """Every file that is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [
            path for path in ROOT.rglob("*") if not any(map(BUILT.fullmatch, path.relative_to(ROOT).parts))
        ]
    return sorted(path for path in paths if path.is_file())


def text_files() -> Iterator[tuple[Path, str]]:
    """Those that people read: no corpora, no binaries, no locks."""
    for path in project_files():
        if path.suffix not in {".eml", ".mbox", ".lock"}:
            try:
                yield path.relative_to(ROOT), path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def python_files(*tops: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in project_files():
        relative = path.relative_to(ROOT)
        if path.suffix == ".py" and relative.parts[0] in tops:
            yield relative, ast.parse(path.read_text(encoding="utf-8"), str(relative))
