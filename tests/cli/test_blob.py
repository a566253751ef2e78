"""`veredus blob`, on files and on S3."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cli.running import Runner
from servers.s3 import S3Server, s3, s3_server
from veredus.app import App, open_app
from veredus.config import load
from veredus.maintenance import LEASE

# Fixtures that are found by their names.
__all__ = ["s3", "s3_server"]
DAY = 86_400.0
TO = ("--to", "alice@example.com")


def use_s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = server.settings()
    for name in ("url", "endpoint", "access_key", "secret_key"):
        monkeypatch.setenv(f"VEREDUS__BLOBS__{name.upper()}", str(getattr(settings, name)))


@pytest.fixture
def on_s3(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The commands of this test keep blobs in S3."""
    use_s3(s3, monkeypatch)
    return s3


@pytest.fixture
def mail(run: Runner) -> list[bytes]:
    """Three messages, of which one is large."""
    run("account", "add", "alice@example.com")
    messages = [b"Subject: %d\r\n\r\n" % n + b"x" * size for n, size in enumerate((10, 11, 6_000_000))]
    for n, message in enumerate(messages):
        Path(f"{n}.eml").write_bytes(message)
    assert run("import", "eml", "0.eml", "1.eml", "2.eml", *TO).code == 0
    return messages


def work(task: Callable[[App], Awaitable[None]]) -> None:
    """Do something to the data that no command does."""

    async def main() -> None:
        import os

        async with open_app(load(None, os.environ, {}).config, types=()) as app:
            await task(app)

    asyncio.run(main())


async def orphan(app: App) -> None:
    await app.blobs.put(b"nobody's", max_size=100)


def keys(server: S3Server, folder: str) -> list[str]:
    return [key for key in server.bucket().keys if key.startswith(f"a/prefix/{folder}/")]


# ------------------------------------------------------------------ gc


def test_gc_moves_what_is_nobodys_aside_and_purges_it_after_a_week(
    run: Runner, on_s3: S3Server, mail: list[bytes]
) -> None:
    with on_s3.clock(lambda: time.time() - 2 * DAY):
        work(orphan)
    assert run("blob", "gc", "--wait", "0", "--json").json == {"uploads": 0, "blobs": 1, "purged": 0}
    assert (len(keys(on_s3, "blobs")), len(keys(on_s3, "trash"))) == (len(mail), 1)
    assert run("blob", "gc", "--wait", "0", "--json").json == {"uploads": 0, "blobs": 0, "purged": 0}
    for key in keys(on_s3, "trash"):
        with on_s3.clock(lambda: time.time() - 8 * DAY):
            on_s3.put(key, b"nobody's")
    done = run("blob", "gc", "--wait", "0")
    assert "purged: 1 blobs deleted a week ago" in done.out
    assert keys(on_s3, "trash") == []
    assert "good" in run("blob", "verify").out


@pytest.mark.usefixtures("mail")
def test_gc_waits_for_nobody(run: Runner) -> None:
    async def hold(app: App) -> None:
        await app.store.acquire(LEASE, "a server", 60)

    work(hold)
    done = run("blob", "gc", "--wait", "0")
    assert done.code == 1
    assert "a server is collecting now, or a backup is being made - try again later" in done.err


# ------------------------------------------------------------------ verify


def test_verify_finds_what_is_damaged_and_what_is_missing(
    run: Runner, on_s3: S3Server, mail: list[bytes]
) -> None:
    assert run("blob", "verify").out == "good: 3 blobs, 3 of them read\n"
    damaged, missing, _ = keys(on_s3, "blobs")
    on_s3.put(damaged, b"other bytes")
    del on_s3.bucket().keys[missing]
    done = run("blob", "verify", "--json")
    assert done.code == 3
    assert (done.json["blobs"], done.json["read"], len(done.json["problems"])) == (2, 2, 2)
    found = "\n".join(done.json["problems"])
    assert f"blob {damaged.rpartition('/')[2]} is damaged: its bytes have another digest" in found
    assert f"blob {missing.rpartition('/')[2]} is missing" in found
    only_missing = run("blob", "verify", "--sample", "0")
    assert only_missing.code == 3
    assert "is missing" in only_missing.out
    assert "1 problems - a backup may have these blobs" in only_missing.err


def test_verify_reads_files_and_samples_of_them(run: Runner, mail: list[bytes]) -> None:
    assert run("blob", "verify", "--sample", "2", "--json").json == {"blobs": 3, "read": 2, "problems": []}
    (large,) = [path for path in Path("data/blobs").glob("??/*") if path.stat().st_size > len(mail[0])]
    large.write_bytes(b"other bytes")
    done = run("blob", "verify")
    assert done.code == 3
    assert done.out == f"blob {large.name} is damaged: its bytes have another digest\n"


def test_verify_goes_on_past_a_blob_that_cannot_be_read(
    run: Runner, on_s3: S3Server, mail: list[bytes]
) -> None:
    key = keys(on_s3, "blobs")[0]
    with on_s3.refusing("400 Bad Request", lambda method, path: method == "GET" and path.endswith(key)):
        done = run("blob", "verify", "--json")
    assert done.code == 3
    assert done.json["read"] == len(mail)
    (problem,) = done.json["problems"]
    assert f"blob {key.rpartition('/')[2]} cannot be read: s3://mail/a/prefix at" in problem


# ------------------------------------------------------------------ move


def exported(run: Runner, directory: str) -> set[bytes]:
    assert run("export", "eml", directory, "--from", "alice@example.com").code == 0
    return {path.read_bytes() for path in Path(directory).rglob("*.eml")}


def test_blobs_move_to_s3_and_back(
    run: Runner, s3: S3Server, mail: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    there = ("blob", "move", "--to", "s3://mail/a/prefix/", "--endpoint", s3.endpoint)
    done = run(*there)
    assert done.code == 0
    assert done.lines[-1] == {
        "done": 3, "total": 3, "copied": 3, "octets": sum(map(len, mail)), "kept": 0, "failures": 0,
    }  # fmt: skip
    assert f'[blobs]\n  url = "s3://mail/a/prefix"\n  endpoint = "{s3.endpoint}"' in done.err
    assert "the-secret" not in done.out + done.err
    assert (run(*there).lines[-1]["copied"], run(*there).lines[-1]["kept"]) == (0, 3)
    for path in Path("data/blobs").glob("??/*"):
        path.unlink()
    use_s3(s3, monkeypatch)
    assert "good: 3 blobs" in run("blob", "verify").out
    assert exported(run, "from-s3") == set(mail)
    back = run("blob", "move", "--to", "file")
    # Small ones are still there.
    assert (back.lines[-1]["copied"], back.lines[-1]["kept"]) == (1, 2)
    for name in ("url", "endpoint", "access_key", "secret_key"):
        monkeypatch.delenv(f"VEREDUS__BLOBS__{name.upper()}")
    assert exported(run, "from-files") == set(mail)


def test_a_move_that_is_cut_goes_on_where_it_stopped(
    run: Runner, s3: S3Server, mail: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(s3, monkeypatch)
    with s3.refusing("400 Bad Request", lambda method, path: method == "POST"):  # of the large one alone
        monkeypatch.setenv("VEREDUS__BLOBS__URL", "file")
        done = run("blob", "move", "--to", "s3://mail/a/prefix", "--endpoint", s3.endpoint)
    assert done.code == 1
    assert "400 Bad Request - run this again to go on: what was copied stays" in done.err
    (copied,) = {len(keys(s3, "blobs"))}
    done = run("blob", "move", "--to", "s3://mail/a/prefix", "--endpoint", s3.endpoint)
    assert (done.lines[-1]["copied"], done.lines[-1]["kept"]) == (len(mail) - copied, copied)


def test_what_is_damaged_is_not_moved(
    run: Runner, s3: S3Server, mail: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_s3(s3, monkeypatch)
    monkeypatch.setenv("VEREDUS__BLOBS__URL", "file")
    (large,) = Path("data/blobs").glob("??/*")
    large.write_bytes(b"other bytes")
    done = run("blob", "move", "--to", "s3://mail/a/prefix", "--endpoint", s3.endpoint)
    assert done.code == 3
    assert {"failed": large.name, "reason": "damaged: its bytes have another digest"} in done.lines
    assert "1 damaged blobs were left out" in done.err
    assert done.lines[-1]["copied"] == len(mail) - 1
    assert not [key for key in keys(s3, "blobs") if key.endswith(large.name)]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--to", "ftp://mail"), 2, 'expected a URL such as "s3://bucket/prefix"'),
        (("--to", "s3://mail", "--endpoint", "nowhere"), 2, "--endpoint: "),
        (("--to", "memory"), 2, "nothing would be left of it"),
        (("--to", "file"), 2, "the blobs are in file already"),
        (("--to", "s3://other", "--endpoint", "{endpoint}"), 1, "there is no such bucket"),
        (
            ("--to", "s3://mail", "--endpoint", "http://127.0.0.1:1"),
            1,
            "cannot be reached: Connection refused",
        ),
    ],
)
@pytest.mark.usefixtures("alice")
def test_what_cannot_be_moved_to_is_told(
    run: Runner, s3: S3Server, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], code: int, told: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-secret")
    done = run("blob", "move", *(word.format(endpoint=s3.endpoint) for word in options))
    assert done.code == code
    assert told in done.err
    assert "the-secret" not in done.out + done.err


# ------------------------------------------------------------------ settings


def test_without_credentials_the_settings_are_named(
    run: Runner, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    # Instead of the address at which a cloud tells machines who they are.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("VEREDUS__BLOBS__URL", "s3://mail/p")
    monkeypatch.setenv("VEREDUS__BLOBS__ENDPOINT", s3.endpoint)
    done = run("account", "add", "alice@example.com")
    assert done.code == 1
    assert "s3://mail/p at http://127.0.0.1" in done.err
    assert "no credentials - set blobs.access_key and blobs.secret_key" in done.err
    monkeypatch.setenv("VEREDUS__BLOBS__ACCESS_KEY", "id")
    assert "one is set, and the other is not" in run("account", "add", "alice@example.com").err


def test_without_obstore_the_extra_is_named(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("veredus.blob.s3"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setenv("VEREDUS__BLOBS__URL", "s3://mail/p")
    done = run("account", "add", "alice@example.com")
    assert done.code == 1
    assert done.err == "veredus: blobs.url is S3, and that needs: pip install 'veredus[s3]'\n"
