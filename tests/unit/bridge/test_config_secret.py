"""A secret is read at each use, from where the settings say it is."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from veredus.bridge.config import SecretError, read
from veredus.bridge.settings import Secret


def private(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return path


def test_a_file_is_read_again_at_each_use_without_whitespace_around_it(tmp_path: Path) -> None:
    secret = Secret(file=private(tmp_path / "token", "first \r\n\n"))
    assert read(secret) == "first"
    private(tmp_path / "token", "\t second\n")
    assert read(secret) == "second"


def test_a_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_TEST", " from-env\n")
    assert read(Secret(env="TOKEN_OF_TEST")) == "from-env"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "{} is empty"),
        (" \n\t", "{} is empty"),
        (b"\xff\xfe", "{} is not text (UTF-8)"),
        (None, "read {}: No such file or directory"),
    ],
)
def test_a_file_without_a_secret_is_named(content: str | bytes | None, said: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    if content is not None:
        private(file, content)
    with pytest.raises(SecretError) as raised:
        read(Secret(file=file))
    assert str(raised.value) == said.format(file)


def test_a_variable_without_a_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN_OF_TEST", raising=False)
    with pytest.raises(SecretError, match=r"^environment variable TOKEN_OF_TEST is not set$"):
        read(Secret(env="TOKEN_OF_TEST"))
    monkeypatch.setenv("TOKEN_OF_TEST", "")
    with pytest.raises(SecretError, match=r"^environment variable TOKEN_OF_TEST is empty$"):
        read(Secret(env="TOKEN_OF_TEST"))


def test_a_secret_that_is_nowhere_is_an_error() -> None:
    with pytest.raises(SecretError, match="needs a file or an environment variable"):
        read(Secret())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"jmap": {}}', "{}: jmap.token is not set"),
        ('{"jmap": {"token": ["s3cret"]}}', "{}: jmap.token is not set"),
        ('{"jmap": {"token": " "}}', "{}: jmap.token is empty"),
        ('"s3cret"', "{}: jmap.token is not set"),
        ('{"s3cret', "{}: jmap.token cannot be read, the file is not JSON now"),
    ],
)
def test_a_member_that_is_gone_is_named_and_nothing_else_shown(
    content: str, said: str, tmp_path: Path
) -> None:
    file = private(tmp_path / "jmap2nats.json", content)
    with pytest.raises(SecretError) as raised:
        read(Secret(file=file, member="jmap.token"))
    assert str(raised.value) == said.format(file)


def test_a_member_is_found_without_regard_to_case(tmp_path: Path) -> None:
    file = private(tmp_path / "jmap2nats.json", '{"JMAP": {"Token": " t \\n"}}')
    assert read(Secret(file=file, member="jmap.token")) == "t"


def test_a_file_that_all_may_read_is_warned_of_once(tmp_path: Path) -> None:
    file = private(tmp_path / "token", "t0ken")
    with capture_logs() as logged:
        read(Secret(file=file))
        assert logged == []
        file.chmod(0o644)
        read(Secret(file=file))
        read(Secret(file=file))
    assert [(line["log_level"], line["file"]) for line in logged] == [("warning", str(file))]
    assert "t0ken" not in str(logged)


def test_a_pipe_may_hold_the_secret() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write("piped\n")
    assert read(Secret(file=Path(f"/dev/fd/{reading}"))) == "piped"
    os.close(reading)
