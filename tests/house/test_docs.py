"""The documentation says what is there: every command, every setting, every decision."""

import re

import pytest

from house.sources import ROOT, project_files
from tools import docs as generated
from veredus.cli import main
from veredus.config.fields import FIELDS

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", ["configuration.md", "cli.md"])
def test_the_generated_part_of_a_page_is_new(page: str) -> None:
    path = ROOT / "docs" / page
    assert path.read_text() == generated.pages()[path], "run `make docs`"


def test_every_setting_is_explained() -> None:
    assert [key for key, field in FIELDS.items() if len(field.setting.doc) < 10] == []


def test_every_command_and_option_has_a_help_text() -> None:
    missing = []
    for path, command in generated.command_tree():
        if not (command.help or "").strip():
            missing.append(" ".join(path))
        missing += [
            f"{' '.join(path)} {parameter.name}"
            for parameter in command.params
            if not getattr(parameter, "help", None)
        ]
    assert missing == []
    assert main.app.info.help


def test_every_module_says_what_it_is() -> None:
    import ast

    silent = [
        str(path.relative_to(ROOT))
        for path in project_files()
        if path.suffix == ".py"
        and (source := path.read_text(encoding="utf-8")).strip()
        and ast.get_docstring(ast.parse(source)) is None
    ]
    assert silent == []


def test_a_link_between_pages_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in project_files()
        if path.suffix == ".md"
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_decisions_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))
