"""The program `jmap2nats` is called as the Go program is, and ends as it does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from veredus import __version__
from veredus.bridge.config.template import template
from veredus.cli.jmap2nats import main

USAGE = """Usage of jmap2nats:
  -config string
    \tPath to the configuration (overrides JMAP2NATS_CONFIG and ./jmap2nats.json)
  -print-config
    \tPrint a default configuration and exit
  -verbose
    \tLog more
  -version
    \tPrint version and exit
"""
# In the place of a bridge, which would need two servers: what it was given, and what it does then.
STAND_IN = """
import asyncio, sys, types
async def run(settings, *, verbose):
    print("given", [one.stream.name for one in settings], verbose, flush=True)
    {does}
sys.modules["veredus.bridge.run"] = types.SimpleNamespace(run=run)
sys.argv[0] = "jmap2nats"
from veredus.cli.jmap2nats import main
main()
"""


@dataclass
class Ended:
    code: int
    out: str
    err: str


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Call":
    """In this process, which is only for what ends before anything runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JMAP2NATS_CONFIG", raising=False)
    return Call(capsys)


class Call:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *argv: str) -> Ended:
        with pytest.raises(SystemExit) as ended:
            main(argv)
        out, err = self._capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, err)


def config(path: Path, stream: str) -> Path:
    path.write_text(
        json.dumps(
            {
                "jmap": {"session_url": "https://jmap.example/", "token_file": "/token"},
                "stream": {"name": stream},
            }
        )
    )
    return path


@contextmanager
def program(
    directory: Path, *argv: str, does: str = "return 0", **env: str
) -> Iterator["subprocess.Popen[str]"]:
    """The program, with the stand-in as its bridge."""
    outside = {key: value for key, value in os.environ.items() if key != "JMAP2NATS_CONFIG"}
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_IN.format(does=does), *argv],
        cwd=directory, env=outside | env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(directory: Path, *argv: str, does: str = "return 0", **env: str) -> Ended:
    with program(directory, *argv, does=does, **env) as process:
        out, err = process.communicate(timeout=60)
        return Ended(process.returncode, out, err)


def logged(err: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


@pytest.mark.parametrize(
    "argv", [["version"], ["-version"], ["--version"], ["-version=T"], ["-verbose", "-version"]]
)
def test_the_version_is_printed(argv: list[str], call: Call) -> None:
    assert call(*argv) == Ended(0, f"{__version__} (Veredus)\n", "")


@pytest.mark.parametrize(
    "argv", [["-print-config"], ["--print-config"], ["-config", "nope.json", "-print-config"]]
)
def test_the_template_is_printed_and_no_file_read(argv: list[str], call: Call) -> None:
    assert call(*argv) == Ended(0, f"{template()}\n", "")


@pytest.mark.parametrize("flag", ["-h", "-help", "--help"])
def test_help_is_the_usage(flag: str, call: Call) -> None:
    assert call(flag) == Ended(0, "", USAGE)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["-foo"], "flag provided but not defined: -foo"),
        (["--foo=1"], "flag provided but not defined: -foo"),
        (["-config"], "flag needs an argument: -config"),
        (["-verbose=x"], 'invalid boolean value "x" for -verbose: parse error'),
        (["-verbose="], 'invalid boolean value "" for -verbose: parse error'),
        (["---config"], "bad flag syntax: ---config"),
        (["-=x"], "bad flag syntax: -=x"),
    ],
)
def test_a_wrong_flag_ends_with_2_and_the_usage(argv: list[str], said: str, call: Call) -> None:
    assert call(*argv) == Ended(2, "", f"{said}\n{USAGE}")


def test_a_configuration_that_cannot_be_used_ends_with_1_and_one_line(call: Call, tmp_path: Path) -> None:
    assert call() == Ended(
        1,
        "",
        "jmap2nats: read config jmap2nats.json: No such file or directory "
        "(-config or JMAP2NATS_CONFIG names another)\n",
    )
    assert call("-config", "x.json") == Ended(
        1, "", "jmap2nats: read config x.json: No such file or directory\n"
    )
    (tmp_path / "jmap2nats.json").write_text('{"backfill_limit": 0}')
    assert call("-version=false") == Ended(
        1,
        "",
        "jmap2nats: invalid config jmap2nats.json: jmap.session_url is required; jmap.token_file is required\n",
    )


def test_the_flag_goes_before_the_variable_and_the_variable_before_the_default(tmp_path: Path) -> None:
    config(tmp_path / "jmap2nats.json", "DEFAULT")
    config(tmp_path / "env.conf", "ENV")
    config(tmp_path / "flag", "FLAG")
    for argv, env, stream in [
        ([], {}, "DEFAULT"),
        ([], {"JMAP2NATS_CONFIG": ""}, "DEFAULT"),
        ([], {"JMAP2NATS_CONFIG": "env.conf"}, "ENV"),
        (["-config", "flag"], {"JMAP2NATS_CONFIG": "env.conf"}, "FLAG"),
        (["--config=flag"], {}, "FLAG"),
    ]:
        assert run(tmp_path, *argv, **env).out == f"given ['{stream}'] False\n"


def test_it_logs_to_standard_error_and_more_when_verbose(tmp_path: Path) -> None:
    config(tmp_path / "jmap2nats.json", "S")
    does = "import structlog; structlog.get_logger().debug('detail'); return 0"
    quiet = run(tmp_path, does=does)
    verbose = run(tmp_path, "-verbose", does=does)
    assert [line["event"] for line in logged(quiet.err)] == ["starting"]
    assert [line["event"] for line in logged(verbose.err)] == ["starting", "detail"]
    assert verbose.out == "given ['S'] True\n"


def test_what_is_ignored_is_logged(tmp_path: Path) -> None:
    file = config(tmp_path / "jmap2nats.json", "S")
    file.write_text(file.read_text()[:-1] + ', "replicas": 3}')
    ended = run(tmp_path, "-verbose=false", "now", "-verbose")
    assert ended.code == 0
    assert [line.get("problem") or line.get("arguments") for line in logged(ended.err)[1:]] == [
        "replicas is unknown, and ignored - did you mean jetstream_replicas?",
        ["now", "-verbose"],
    ]


@pytest.mark.parametrize(
    ("does", "code", "said"),
    [
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("raise OSError(2, 'No such thing', '/x')", 1, "jmap2nats: [Errno 2] No such thing: '/x'\n"),
        (
            "from veredus.client.errors import JMAPError as T; raise T('jmap.example: no route')",
            1,
            "jmap2nats: jmap.example: no route\n",
        ),
        (
            "from veredus.bridge.config import SecretError as S; raise S('/token is empty')",
            1,
            "jmap2nats: /token is empty\n",
        ),
        (
            "raise ModuleNotFoundError('x', name='nats.js')",
            1,
            "jmap2nats: nats.js is not installed: pip install 'veredus[bridge]'\n",
        ),
    ],
)
def test_the_end_of_the_bridge_is_the_end_of_the_program(
    does: str, code: int, said: str, tmp_path: Path
) -> None:
    config(tmp_path / "jmap2nats.json", "S")
    ended = run(tmp_path, does=does)
    assert (ended.code, ended.err.partition("\n")[2]) == (code, said)  # after the line that says "starting"


def test_a_bug_is_told_with_its_traceback(tmp_path: Path) -> None:
    config(tmp_path / "jmap2nats.json", "S")
    ended = run(tmp_path, does="1 / 0")
    assert ended.code == 1
    assert "ZeroDivisionError" in ended.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_bridge_which_may_finish_and_ends_with_0(
    number: signal.Signals, tmp_path: Path
) -> None:
    config(tmp_path / "jmap2nats.json", "S")
    does = """try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        print("finished", flush=True)"""
    with program(tmp_path, does=does) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "given ['S'] False\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, "finished\n")
        assert "Traceback" not in err


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    config(tmp_path / "jmap2nats.json", "S")
    does = """while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("not yet", flush=True)"""
    with program(tmp_path, does=does) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.stdout.readline() == "not yet\n"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM


def test_a_toml_file_may_hold_several_bridges(tmp_path: Path) -> None:
    (tmp_path / "veredus.toml").write_text(
        '[[bridge]]\nname = "a"\njmap = { session_url = "a.example", token = { env = "A" } }\n'
        'stream = { name = "A", subject_prefix = "a" }\nstate_bucket = "A"\n'
        '[[bridge]]\nname = "b"\njmap = { session_url = "b.example", token = { env = "B" } }\n'
    )
    assert run(tmp_path, "-config", "veredus.toml").out == "given ['A', 'JMAP_EMAILS'] False\n"


def test_the_real_bridge_waits_for_servers_that_are_down_and_stops_when_told(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    file = tmp_path / "jmap2nats.json"
    jmap = {"session_url": "http://127.0.0.1:1/session", "token_file": str(token)}
    file.write_text(json.dumps({"jmap": jmap, "nats": {"url": "nats://127.0.0.1:1"}}))
    process = subprocess.Popen(
        [sys.executable, "-m", "veredus.cli.jmap2nats", "-config", str(file)],
        text=True,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        seen = ""
        while "127.0.0.1:1" not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line
        process.terminate()
        _, rest = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in rest
        assert "s3cret" not in seen + rest
    finally:
        process.kill()
        process.communicate()
