"""What no file of the project may say."""

import re

import pytest

from house.sources import project_files, text_files

# Spelled in pieces, so that this file may be checked as well.
REGISTRIES = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry.npm" + "js.org",
    "crates" + ".io",
    "proxy.golang" + ".org",
)
MACHINE = re.compile(
    r"(?<![\w.])/(?:"
    + "|".join(("root", "work", "farm", "home/\\w+", "Users/\\w+", "opt/(?!veredus)"))
    + r")(?:/|\b)"
)
TOOLS = (".libr" + "ary",)
# What is left to do has an issue, else it is forgotten.
LEFT_OVER = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!.{0,12}#\d)(?=[:( ]|$)", re.MULTILINE)


def test_no_file_names_a_package_registry() -> None:
    found = [
        str(path)
        for path in project_files()
        if any(host.encode() in path.read_bytes() for host in REGISTRIES)
    ]
    assert found == []


def test_a_lock_names_no_address() -> None:
    for path in project_files():
        if path.suffix == ".lock":
            text = path.read_text()
            assert "://" not in text
            assert "--hash=sha256:" in text


@pytest.mark.parametrize(
    "pattern",
    [MACHINE, LEFT_OVER, re.compile("|".join(map(re.escape, TOOLS)))],
    ids=["machine", "left over", "tools"],
)
def test_no_file_names_this_machine_or_leaves_work_without_an_issue(pattern: re.Pattern[str]) -> None:
    found = [
        f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {hit[0]}"
        for path, text in text_files()
        for hit in pattern.finditer(text)
    ]
    assert found == []
