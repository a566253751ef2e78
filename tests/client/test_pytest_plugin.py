"""The plug-in for pytest, as a project that has installed Veredus uses it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest_plugins = "pytester"

ROOT = Path(__file__).parent.parent.parent

CALLS = """
import base64, json, urllib.error, urllib.request

def ask(server, account, *calls, path="/jmap", data=None):
    body = data or json.dumps({"using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
        "methodCalls": [[name, {"accountId": account.id, **args}, str(n)] for n, (name, args) in enumerate(calls)]}).encode()
    login = base64.b64encode(f"{account.address}:{account.password}".encode()).decode()
    request = urllib.request.Request(server.url + path, body,
        {"authorization": f"Basic {login}", "content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=ask.timeout) as answer:
        return json.load(answer).get("methodResponses")

ask.timeout = 20
"""


# Another plug-in that takes most of the time of a short run to load.
WITHOUT = ("-p", "no:hypothesispytest")


def entry_point() -> str:
    """What pyproject.toml tells pytest to load; until it does, what it is to tell."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    return project.get("entry-points", {}).get("pytest11", {}).get("veredus", "veredus.pytest_plugin")


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project in whose environment Veredus is installed."""
    installed = pytester.mkdir("installed")
    metadata = installed / "veredus_of_the_test-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: veredus-of-the-test\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(f"[pytest11]\nveredus = {entry_point()}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), str(ROOT / "src")]))
    pytester.makeini(
        "[pytest]\nfilterwarnings = error\nasyncio_mode = auto\n"
        "asyncio_default_fixture_loop_scope = function\n"
    )
    return pytester


def passes(project: pytest.Pytester, source: str, count: int = 1, *options: str) -> None:
    project.makepyfile(CALLS + source)
    result = project.runpytest_subprocess("-q", *WITHOUT, *options, timeout=100)
    result.assert_outcomes(passed=count)


def test_a_sync_test_has_a_server_with_mail(project: pytest.Pytester) -> None:
    passes(
        project,
        """
def test_mail(jmap_server, jmap_account):
    jmap_server.deliver(b"From: a@example.org\\nSubject: hello\\n\\ntext\\n", jmap_account.address)
    [[_, found, _]] = ask(jmap_server, jmap_account, ("Email/query", {}))
    assert len(found["ids"]) == 1
    [line] = jmap_server.requests
    assert (line.method, line.route, line.status) == ("POST", "/jmap", 200)

def test_another_test_has_another_server(jmap_server, jmap_account):
    [[_, found, _]] = ask(jmap_server, jmap_account, ("Email/query", {}))
    assert found["ids"] == []
    bob = jmap_server.add_account("bob@example.com", "other")
    assert ask(jmap_server, bob, ("Email/query", {}))[0][0] == "Email/query"

def test_what_cannot_be_is_an_error(jmap_server, jmap_account):
    import pytest
    with pytest.raises(ValueError, match="exists already"):
        jmap_server.add_account(jmap_account.address)
    with pytest.raises(ValueError, match="bob@example.com: 550 5.1.1"):
        jmap_server.deliver(b"From: a@example.org\\n\\n", "bob@example.com")
    with pytest.raises(ValueError, match="200 is no status of a failure"):
        jmap_server.fail_next(200)
    with pytest.raises(ValueError, match="times must be 1 or more"):
        jmap_server.fail_next(500, 0)
""",
        3,
    )


def test_an_async_test_has_a_client(project: pytest.Pytester) -> None:
    passes(
        project,
        """
async def test_mail(jmap_server, jmap_account, jmap_client):
    async with jmap_client as jmap:
        jmap_server.deliver(b"From: a@example.org\\nSubject: hello\\n\\ntext\\n", jmap_account.address)
        assert len((await jmap.call("Email/query"))["ids"]) == 1
        assert jmap.session.primary_accounts["urn:ietf:params:jmap:mail"] == jmap_account.id
""",
    )


def test_requests_fail_on_demand(project: pytest.Pytester) -> None:
    passes(
        project,
        """
import pytest

def status(server, account, *calls):
    try:
        ask(server, account, *calls)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("retry-after")
    return 200, None

QUERY, GET = ("Email/query", {}), ("Mailbox/get", {"ids": []})

def test_with_a_status(jmap_server, jmap_account):
    jmap_server.fail_next(503, times=2, retry_after_s=7)
    assert [status(jmap_server, jmap_account, QUERY) for _ in range(3)] == [(503, "7"), (503, "7"), (200, None)]

def test_only_with_a_method(jmap_server, jmap_account):
    jmap_server.fail_next(500, method="Mailbox/get")
    assert [status(jmap_server, jmap_account, call)[0] for call in (QUERY, GET, GET)] == [200, 500, 200]

def test_with_an_error_of_a_method(jmap_server, jmap_account):
    jmap_server.fail_next("serverFail", method="Mailbox/get")
    first, second = ask(jmap_server, jmap_account, QUERY, GET)
    assert first[0] == "Email/query"
    assert (second[0], second[1]["type"]) == ("error", "serverFail")
    assert ask(jmap_server, jmap_account, GET)[0][0] == "Mailbox/get"

def test_what_fails_is_not_executed(jmap_server, jmap_account):
    jmap_server.fail_next("serverUnavailable")
    [[name, error, _]] = ask(jmap_server, jmap_account, ("Mailbox/set", {"create": {"a": {"name": "new"}}}))
    assert (name, error["type"]) == ("error", "serverUnavailable")
    [[_, found, _]] = ask(jmap_server, jmap_account, ("Mailbox/query", {"filter": {"name": "new"}}))
    assert found["ids"] == []

def test_until_it_recovers(jmap_server, jmap_account):
    jmap_server.fail_next(401, times=100)
    assert status(jmap_server, jmap_account, QUERY)[0] == 401
    jmap_server.recover()
    assert status(jmap_server, jmap_account, QUERY)[0] == 200

def test_an_upload_fails_with_a_status(jmap_server, jmap_account):
    jmap_server.fail_next(500)
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(jmap_server, jmap_account, path=f"/jmap/upload/{jmap_account.id}/", data=b"x")
    with caught.value:
        assert caught.value.code == 500
""",
        6,
    )


def test_a_frozen_server_answers_nobody_until_it_is_thawed(project: pytest.Pytester) -> None:
    passes(
        project,
        """
import pytest

def test_freeze(jmap_server, jmap_account):
    jmap_server.freeze()
    ask.timeout = 0.3
    with pytest.raises(TimeoutError):
        ask(jmap_server, jmap_account, ("Email/query", {}))
    with pytest.raises(RuntimeError, match="frozen"):
        jmap_server.deliver(b"", "")
    ask.timeout = 20
    jmap_server.thaw()
    assert ask(jmap_server, jmap_account, ("Email/query", {}))

def test_a_server_that_is_left_frozen_ends(jmap_server):
    jmap_server.freeze()
""",
        2,
    )


def test_nothing_is_printed_into_what_a_test_captures(project: pytest.Pytester) -> None:
    passes(
        project,
        """
def test_quiet(jmap_server, jmap_account, capsys, caplog):
    caplog.set_level("INFO")
    jmap_server.deliver(b"From: a@example.org\\n\\ntext\\n", jmap_account.address)
    ask(jmap_server, jmap_account, ("Email/query", {}))
    assert capsys.readouterr() == ("", "")
    assert "delivered" in caplog.text
""",
    )


def test_it_can_be_turned_off(project: pytest.Pytester) -> None:
    project.makepyfile("def test_none(jmap_server): ...")
    result = project.runpytest_subprocess("-q", *WITHOUT, "-p", "no:veredus", timeout=100)
    result.stdout.fnmatch_lines(["*fixture 'jmap_server' not found*"])


def test_a_project_that_uses_no_fixture_pays_nothing() -> None:
    source = (
        "import sys, veredus.pytest_plugin; "
        "print(sorted({name.partition('.')[2].partition('.')[0] for name in sys.modules if name.startswith('veredus.')}), "
        "sorted({'aiohttp', 'msgspec', 'structlog', 'uvicorn'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['pytest_plugin'] []\n"
