"""The pages about the bridge say what is there: keys, headers, metrics, commands; and their Python runs."""

import asyncio
import re
import sqlite3
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from nats.js.api import StreamConfig
from prometheus_client import CollectorRegistry, generate_latest

from bridge.consumer.conftest import Written, email_of
from veredus.bridge.config import load
from veredus.bridge.config.fields import fields
from veredus.bridge.consumer.held import Held
from veredus.bridge.monitor.metrics import BridgeMetrics
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.status import AccountStatus, BridgeStatus
from veredus.bridge.wire.change import Change, Source
from veredus.bridge.wire.dead_letter import DeadLetter, dead_letter
from veredus.bridge.wire.event import event
from veredus.bridge.wire.generation import Generation
from veredus.bridge.wire.message import Message
from veredus.bridge.wire.spill import Spilled, fit
from veredus.cli.main import app

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [DOCS / "bridge.md", *sorted((DOCS / "bridge").glob("*.md"))]
MESSAGES, CONFIGURATION = DOCS / "bridge" / "messages.md", DOCS / "bridge" / "configuration.md"
AT = datetime(2026, 3, 2, tzinfo=UTC)


def keys(owner: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each key of a ``[[bridge]]`` table, and its default as the page writes it."""
    for field in fields(owner):
        if field.table is not None:
            yield from keys(field.table, f"{prefix}{field.key}{'[]' * field.many}.")
        elif field.required:
            yield prefix + field.key, "required"
        elif field.default is None:
            yield prefix + field.key, "unset"
        else:
            yield prefix + field.key, f"`{_written(field.write(field.default))}`"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return {"": '""', "[]": "[]"}.get(str(value), str(value))


def test_every_key_is_documented_with_its_default() -> None:
    text = CONFIGURATION.read_text().partition("## Keys")[2].partition("## jmap2nats.json")[0]
    assert re.findall(r"^\| `([^`]+)` \| (.*?) \|", text, re.MULTILINE) == list(keys(BridgeSettings))


def test_every_choice_of_a_key_is_documented() -> None:
    text = CONFIGURATION.read_text()
    for owner in [BridgeSettings, *(field.table for field in fields(BridgeSettings) if field.table)]:
        for name, hint in typing.get_type_hints(owner).items():
            if typing.get_origin(hint) is typing.Literal:
                choices = ", ".join(f"`{choice}`" for choice in typing.get_args(hint))
                assert f"| {choices}. " in text, name


def _messages() -> Iterator[Message]:
    """One of each kind, with all that can be in it."""
    email = email_of("e1") | {
        "cc": [{"email": "c@example.org"}], "sentAt": "2026-03-02T10:00:00+01:00", "messageId": ["a@b"],
        "inReplyTo": ["c@d"], "references": ["e@f"], "header:List-Id:asText": "<l.example.org>",
        "header:Authentication-Results:asText:all": ["mx; spf=pass"], "mailboxIds": {"m2": True},
    }  # fmt: skip
    source = Source(server="mail.example.com", account_id="a1", account_name="Alice")
    before = {"keywords": {"$seen": False}, "mailboxIds": {"m1": True}}
    for op in ("updated", "snapshot"):
        change = Change(
            source=source, type="Email", op=op, id="e1", old_state="1", new_state="2", at=AT,  # type: ignore[arg-type]
            after=email | {"keywords": {"$junk": True}}, before=before | {"keywords": {"$seen": True}},
        )  # fmt: skip
        yield event("jmap.event", change, {"m2": "junk"})
    for wire in ("0a", "0", "1"):
        yield Generation.of(wire).message("jmap.email", "a1", email, {})  # type: ignore[arg-type]
    long = email | {"to": [{"email": f"{n}@example.org"} for n in range(9000)]}
    spilled = fit(Generation.of("1").message("jmap.email", "a1", long, {}), 65536)
    assert isinstance(spilled, Spilled)
    yield spilled.message
    yield dead_letter(
        "jmap.dlq",
        DeadLetter(
            server="s", account_id="a1", type="Email", op="created", id="e1", pipeline="emails",
            error_type="X", error="x", attempts=5, first_at=AT, last_at=AT,
        ),
    )  # fmt: skip


def _of_dead_letters_of_consumers() -> set[str]:
    about = SimpleNamespace(stream="S", consumer="c", num_delivered=1, sequence=SimpleNamespace(stream=1))
    message: Any = SimpleNamespace(headers={}, metadata=about, subject="s")
    held = Held(None, message, settles=True, dead_letter="d", most=1)  # type: ignore[arg-type]
    return set(held._letter_headers("why"))


def test_every_header_is_documented_and_no_other() -> None:
    written = {name for message in _messages() for name in message.all_headers}
    written |= _of_dead_letters_of_consumers()
    documented = set(re.findall(r"`((?:Jmap|Jmap2nats|Nats|ce)-[A-Za-z-]+)`", MESSAGES.read_text()))
    # Of objects in the store, not of messages.
    assert written == documented - {"Jmap-Charset", "Jmap-Filename"}


def test_every_metric_is_documented_and_no_other() -> None:
    status = BridgeStatus("b", "i", object_octets=1)
    account = status.accounts["a1"] = AccountStatus("a1")
    account.active = True
    account.track("emails", "Email").moved_at = 0.0
    registry = CollectorRegistry()
    BridgeMetrics(registry, [status])
    exported = set(re.findall(r"^(bridge_\w+){", generate_latest(registry).decode(), re.MULTILINE))
    assert exported == set(re.findall(r"`(bridge_\w+)`", (DOCS / "bridge.md").read_text()))


def _commands(group: Any, words: tuple[str, ...]) -> Any:
    for word in words:
        if not isinstance(group, typer.core.TyperGroup):
            return None
        group = group.commands.get(word)
    return group


def test_every_command_line_is_one() -> None:
    """The words and options of each `veredus …` of the pages; and each command of the bridge is in bridge.md."""
    tree = typer.main.get_command(app)
    text = "\n".join(page.read_text() for page in PAGES)
    lines = re.findall(r"(?:^|`)veredus ([a-z][^`#\n]*)", text, re.MULTILINE)
    assert len(lines) > 12
    for line in lines:
        words = line.split()
        plain = [word for word in words if re.fullmatch(r"[a-z]+", word)]
        command = next(
            found for n in range(len(plain), 0, -1) if (found := _commands(tree, tuple(plain[:n])))
        )
        known = {option for parameter in command.params for option in parameter.opts} | {"--config"}
        assert {word for word in words if word.startswith("--")} <= known, line
    bridge: Any = _commands(tree, ("bridge",))
    page = (DOCS / "bridge.md").read_text()
    assert [name for name in bridge.commands if f"veredus bridge {name}" not in page] == []


def test_the_example_of_a_configuration_is_one(tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", CONFIGURATION.read_text(), re.DOTALL)
    file = tmp_path / "bridge.toml"
    file.write_text(example)
    [bridge] = load(file).bridges
    assert (bridge.name, bridge.events.types, len(bridge.routes)) == ("fastmail", ("Email", "Mailbox"), 1)


def test_every_error_of_the_page_is_said_by_the_code() -> None:
    table = (DOCS / "bridge.md").read_text().partition("## When something is wrong")[2]
    source = "".join(file.read_text() for file in (DOCS.parent / "src" / "veredus" / "bridge").rglob("*.py"))
    said = [
        cell
        for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
        for cell in re.findall(r"`([^`]+)`", row)
    ]
    pieces = [piece for one in said for piece in one.replace("'…'", "…").split("…") if piece]
    assert len(said) > 12
    assert [piece for piece in pieces if piece not in source] == []


def recipes() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            exec(compile(block, str(page), "exec"), names)
    return names


async def until(is_so: Any, work: Any) -> None:
    """Run a recipe, which has no end, until it has done what it is for."""
    task = asyncio.create_task(work)
    async with asyncio.timeout(30):
        while not is_so():
            if task.done():
                task.result()
            await asyncio.sleep(0.02)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_recipes_do_what_they_say(
    written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, nc = recipes(), written.nc
    await nc.jetstream().add_stream(StreamConfig(name="INVOICES", subjects=["invoices.dead"]))
    await written.mail("e1")
    await written.mail("e2", attachments=[])

    await until((tmp_path / "e1.pdf").exists, names["file_invoices"](nc, tmp_path))
    assert (tmp_path / "e1.pdf").read_bytes() == b"%PDF" * 100_000

    answered: list[tuple[Any, ...]] = []

    async def answer(*question: Any) -> None:
        answered.append(question)

    await until(lambda: len(answered) == 2, names["agent_inbox"](nc, answer))
    assert answered[0] == ("zoe@example.org", False, "Überweisung ☃", "Grüße ☃\n")

    with sqlite3.connect(tmp_path / "db") as db:

        def rows() -> int:
            try:
                return int(db.execute("SELECT count(*) FROM mail").fetchone()[0])
            except sqlite3.OperationalError:
                return 0

        await until(lambda: rows() == 2, names["fill"](nc, db))
        assert db.execute("SELECT key, sender FROM mail").fetchone() == ("a1/e1", "zoe@example.org")
    db.close()

    said: list[str] = []

    async def say(text: str) -> None:
        said.append(text)

    telling = asyncio.create_task(names["notify"](nc, say))
    async with asyncio.timeout(30):
        while not await nc.jetstream().consumers_info("JMAP_EVENTS"):
            await asyncio.sleep(0.02)
        after = {"subject": "Hi", "keywords": {"$flagged": True}}
        await written.event("updated", "e1", before={"keywords": {}}, after=after)
        while not said:
            await asyncio.sleep(0.02)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    assert said == ["flagged: Hi"]

    printed: list[str] = []
    await until(
        lambda: printed.append(capsys.readouterr().out) or "".join(printed).count("Grüße") == 2,
        names["main"](written.server.url),
    )
