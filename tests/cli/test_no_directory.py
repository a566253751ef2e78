"""Commands on a machine that has no data: records are in PostgreSQL, messages in S3."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.running import Runner
from contract import postgres
from servers.s3 import S3Server, s3, s3_server

# Fixtures that are found by their names.
__all__ = ["s3", "s3_server"]


@pytest.fixture
def cluster(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The store of a cluster, which the commands of this test use."""
    settings = s3.settings()
    for name in ("url", "endpoint", "access_key", "secret_key"):
        monkeypatch.setenv(f"VEREDUS__BLOBS__{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("VEREDUS__STORAGE__URL", postgres.server().create("elsewhere"))
    yield s3
    postgres.server().drop("elsewhere")


def test_accounts_are_kept_without_a_data_directory(run: Runner, cluster: S3Server, tmp_path: Path) -> None:
    assert run("account", "add", "alice@example.com").code == 0
    assert run("account", "ls", "--json").code == 0
    assert run("db", "check").out == "good\n"
    assert not (tmp_path / "data").exists()


def test_the_check_goes_on_past_a_damaged_blob(run: Runner, cluster: S3Server) -> None:
    assert run("account", "add", "alice@example.com").code == 0
    for n in (1, 2, 3):
        Path(f"{n}.eml").write_bytes(b"Subject: %d\r\n\r\nHello\r\n" % n)
    assert run("import", "eml", "1.eml", "2.eml", "3.eml", "--to", "alice@example.com").code == 0
    damaged, missing, _ = sorted(cluster.bucket().keys)
    cluster.put(damaged, b"other bytes")
    del cluster.bucket().keys[missing]
    done = run("db", "check", "--read-blobs")
    assert (done.code, done.out.count("\n")) == (3, 2)
    assert "is damaged: its bytes have another digest" in done.out
    assert "is missing" in done.out


def test_what_is_wrong_with_the_target_of_a_copy_is_not_said_of_the_settings(
    run: Runner, cluster: S3Server
) -> None:
    dsn = postgres.server().dsn("elsewhere").replace("veredus@", "nobody@")
    done = run("db", "copy", "--to", dsn)
    assert done.code == 1
    assert "check user and password in its URL" in done.err
    assert "storage.url" not in done.err


def test_an_endpoint_that_is_none_is_quoted_once(run: Runner, cluster: S3Server) -> None:
    done = run("blob", "move", "--to", "s3://mail", "--endpoint", "ftp://example.com")
    assert (done.code, done.err.count("ftp://example.com")) == (2, 1)
