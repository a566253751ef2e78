"""`veredus config` and what every command shares: options, exit codes, one clear line."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import veredus
from veredus.cli.main import main
from veredus.config import Config, load
from veredus.config.fields import FIELDS


class Run:
    """One run of the command line inside this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *argv: str) -> None:
        with pytest.raises(SystemExit) as ended:
            main(argv)
        self.code = ended.value.code or 0
        self.out, self.err = capsys.readouterr()


Runner = Callable[..., Run]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    return lambda *argv: Run(capsys, *argv)


def test_check_is_content_without_a_file_and_with_a_good_one(run: Runner) -> None:
    assert (run("config", "check").code, run("config", "check").out) == (
        0,
        "no configuration file: the defaults hold\n",
    )
    Path("veredus.toml").write_text('hostname = "h"')
    assert run("config", "check").out == "veredus.toml: good\n"


def test_check_names_all_mistakes_and_ends_with_3(run: Runner) -> None:
    Path("veredus.toml").write_text("[smtp]\n  max_sise = 1\n[x]")
    done = run("config", "check")
    assert (done.code, done.out) == (3, "")
    assert done.err.splitlines() == [
        'veredus.toml:2:3  smtp.max_sise: unknown key - did you mean "max_size"?',
        "veredus.toml:3:2  x: unknown key",
    ]
    assert len(json.loads(run("config", "check", "--json").out)["problems"]) == 2


def test_another_command_with_bad_settings_ends_with_2(run: Runner) -> None:
    Path("bad.toml").write_text("x = 1")
    done = run("config", "show", "-c", "bad.toml")
    assert (done.code, done.out, done.err) == (2, "", "bad.toml:1:1  x: unknown key\n")


@pytest.mark.parametrize(
    "argv",
    [
        ("--config", "x.toml", "config", "show"),
        ("config", "-c", "x.toml", "show"),
        ("config", "show", "--config=x.toml"),
    ],
)
def test_the_shared_options_may_stand_anywhere(run: Runner, argv: tuple[str, ...]) -> None:
    Path("x.toml").write_text('hostname = "from-x"')
    assert 'hostname = "from-x"' in run(*argv, "--data-dir", "d", "-v").out.splitlines()
    assert 'data_dir = "d"' in run(*argv, "--data-dir", "d", "-v").out.splitlines()


def test_an_option_without_its_value_is_a_usage_error(run: Runner) -> None:
    done = run("config", "show", "--config")
    assert (done.code, done.out) == (2, "")


def test_show_tells_values_and_origins_but_no_secret(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("veredus.toml").write_text('hostname = { env = "SECRET" }\n[log]\nlevel = "error"')
    monkeypatch.setenv("SECRET", "hidden-name")
    done = run("config", "show", "--origin")
    assert done.out.startswith("hostname = (secret)  # file veredus.toml:1 (env SECRET)\n")
    assert 'log.level = "error"  # file veredus.toml:3\n' in done.out
    as_json = run("config", "show", "--json", "--origin")
    assert json.loads(as_json.out)["http.listen"] == {"value": ["127.0.0.1:8580"], "origin": "default"}
    assert "hidden-name" not in done.out + as_json.out
    assert set(json.loads(run("config", "show", "--json").out)) == set(FIELDS)


def test_explain_tells_all_about_a_setting_or_a_section(run: Runner) -> None:
    for key, field in FIELDS.items():
        text = run("config", "explain", key).out
        assert field.env in text
        assert field.setting.doc.split()[0] in text
    assert "smtp.max_size" in run("config", "explain", "smtp").out
    assert json.loads(run("config", "explain", "smtp.max_size", "--json").out)["default"] == 50 * 2**20


def test_explain_of_an_unknown_key_suggests_the_nearest(run: Runner) -> None:
    done = run("config", "explain", "smtp.max_sise")
    assert (done.code, done.out) == (1, "")
    assert done.err == 'veredus: there is no setting smtp.max_sise - did you mean "smtp.max_size"?\n'


def test_the_example_is_a_file_that_changes_nothing(run: Runner) -> None:
    text = run("config", "example").out
    for content in (
        text,
        "\n".join(
            line[1:] if line.startswith("#") and line[1:2] != " " else line for line in text.splitlines()
        ),
    ):
        path = Path("example.toml")
        path.write_text(content)
        assert load(path, {}).config == Config()
    assert len(tomllib.loads(text)) == len({key.partition(".")[0] for key in FIELDS if "." in key})


def test_the_schema_describes_every_setting(run: Runner) -> None:
    schema = json.loads(run("config", "schema").out)
    for key, field in FIELDS.items():
        node = schema
        for part in key.split("."):
            node = node["properties"][part]
        assert node["description"] == field.setting.doc


def test_version_says_which(run: Runner) -> None:
    assert run("version").out.startswith(f"veredus {veredus.__version__} (Python 3.")
    assert json.loads(run("version", "--json").out)["veredus"] == veredus.__version__


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, veredus.cli.main\n"
        "heavy = {'apsw', 'argon2', 'asyncio', 'blake3', 'msgspec', 'prometheus_client', 'selectolax', 'uvicorn'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "veredus", "version"], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith("veredus ")
