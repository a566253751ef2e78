"""The code of docs/client is run as it stands, against a real server."""

import ast
import asyncio
import contextlib
import inspect
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from client.world import World
from jmap import message
from veredus.client import Client, Complete, Email, MemoryCursor

DOCS = Path(__file__).parent.parent.parent / "docs" / "client"
INVOICE = (
    b"From: Stripe <billing@stripe.com>\r\nTo: alice@example.com\r\nSubject: Your invoice\r\n"
    b"Message-ID: <1@stripe.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nThank you.\r\n--b\r\nContent-Type: application/pdf\r\n"
    b'Content-Disposition: attachment; filename="invoice.pdf"\r\n\r\n%PDF-1.4\r\n--b--\r\n'
)


def blocks() -> list[Any]:
    """Each block of Python, named after the headings above it."""
    found = []
    for page in sorted(DOCS.glob("*.md")):
        heading = ""
        for line in re.finditer(r"^#+ ([^\n]+)$|^```python\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
            heading = line[1] or heading
            if line[2]:
                found.append(pytest.param(line[2], heading, id=f"{page.stem}: {heading}: {len(found)}"))
    return found


def adapted(source: str, world: World) -> str:
    """For a server that no DNS knows."""
    return source.replace('Client.connect("alice@example.com"', f'Client.connect("{world.url}"')


async def run(source: str, world: World, client: Client) -> dict[str, Any]:
    """The names that the code leaves behind."""
    names: dict[str, Any] = {"client": client, "TOKEN": world.token}
    code = compile(adapted(source, world), "cookbook", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if "veredus.client.sync" in source:
        await asyncio.to_thread(exec, code, names)
    else:
        result = eval(code, names)
        if inspect.isawaitable(result):
            await result
    return names


@pytest.fixture
async def client(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Of someone with an invoice, two messages of Bob, and one in the archive that is exported."""
    monkeypatch.chdir(tmp_path)
    async with world.connect() as client:
        await client.mail.import_message(INVOICE)
        for n in range(2):
            await client.mail.import_message(message(f"Hello {n}", From="Bob <bob@example.org>"))
        old = await client.mail.import_message(message("Old"), "archive")
        (tmp_path / "export").mkdir()
        await client.mail.save(old, tmp_path / "export" / "old.eml")
        (tmp_path / "export" / "new.eml").write_bytes(message("New"))
        yield client


SPECIAL = (
    "Watch, and act",
    "Watching",
    "Follow",
    "Test your own program",
    "Export a Mailbox to .eml",
    "Import messages",
)


@pytest.mark.parametrize(("source", "heading"), [each for each in blocks() if each.values[1] not in SPECIAL])
async def test_an_example_runs(world: World, client: Client, source: str, heading: str) -> None:
    await run(source, world, client)
    if heading in EFFECTS:
        search, count = EFFECTS[heading]
        assert len(await client.mail.search(search).all()) == count


# What a search finds after the examples that change something.
EFFECTS = {
    "Move by rule": ("in:archive subject:invoice keyword:$work", 1),
    "Write a draft": ("in:drafts is:draft has:attachment subject:plan", 1),
    "From imaplib": ("in:inbox from:bob is:read", 2),
}


def source_of(heading: str) -> str:
    [source] = [each.values[0] for each in blocks() if each.values[1] == heading]
    return str(source)


async def test_attachments_are_saved(world: World, client: Client, tmp_path: Path) -> None:
    await run(source_of("Save attachments"), world, client)
    assert (tmp_path / "invoices" / "invoice.pdf").read_bytes() == b"%PDF-1.4"


async def test_a_mailbox_is_exported_and_imported(world: World, client: Client, tmp_path: Path) -> None:
    for file in (tmp_path / "export").iterdir():
        file.unlink()
    (tmp_path / "export").rmdir()
    await run(source_of("Export a Mailbox to .eml"), world, client)
    [file] = (tmp_path / "export").iterdir()
    assert file.read_bytes() == message("Old")
    file.write_bytes(message("Another"))
    await run(source_of("Import messages"), world, client)
    assert len(await client.mail.search("in:archive is:read subject:another").all()) == 1


async def test_what_is_watched_is_acted_upon(world: World, client: Client) -> None:
    task = asyncio.create_task(run(source_of("Watch, and act"), world, client))
    try:
        async with asyncio.timeout(30):
            while not await client.mail.search("in:archive subject:invoice").first():
                # Whatever is there before the first look is not watched for: "now" is when it began.
                await client.mail.import_message(message("Another invoice"))
                await asyncio.sleep(0.1)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(("heading", "name"), [("Watching", "tell"), ("Follow", "follow")])
async def test_what_goes_on_is_told(
    world: World, client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str], heading: str, name: str
) -> None:
    names = await run(source_of(heading), world, client)
    task = asyncio.create_task(names[name](client, tmp_path / "state.db"))
    said = ""
    async with asyncio.timeout(30):
        while "new" not in said:
            # What was there at the first look is not told.
            await client.mail.import_message(message("Something"))
            await asyncio.sleep(0.1)
            said += capsys.readouterr().out
            assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_a_mirror_is_right_after_a_resync(world: World, client: Client) -> None:
    """And after a crash in the middle of the pass."""
    apply = (await run(source_of("When the server cannot say what changed"), world, client))["apply"]
    cursor, rows, round = MemoryCursor(), {"of old": (0, None)}, 0
    account = client.account_for("Email")
    await cursor.save(f"watch/{client.session.username}/{account}/Email", '{"state": "of another life"}')
    event = None
    for is_interrupted in (True, False):
        async with aclosing(client.watch(Email, cursor=cursor)) as events:
            async for event in events:
                round = apply(event, rows, round)
                await event.ack()
                if isinstance(event, Complete) or (is_interrupted and len(rows) == 3):
                    break
    assert isinstance(event, Complete)
    assert set(rows) == {id async for id in client.query(Email).ids()}


def test_the_tests_of_a_program_pass(tmp_path: Path) -> None:
    (tmp_path / "test_program.py").write_text(source_of("Test your own program"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    plugin = [] if _is_installed() else ["-p", "veredus.pytest_plugin"]
    done = subprocess.run([*argv, *plugin], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout


def _is_installed() -> bool:
    from importlib.metadata import entry_points

    return any(each.name == "veredus" for each in entry_points(group="pytest11"))
