"""`veredus queue` with rows that wait for different things."""

import asyncio
from pathlib import Path

from cli.running import Runner
from veredus.app import open_app
from veredus.config.settings import Config
from veredus.outgoing import records
from veredus.outgoing.records import Destination, Queued, Recipient
from veredus.ports import Address


def _row(id: str, send_at: str, needs_release: bool) -> Queued:
    return Queued(
        id=id, departure=id, account="a1", submission=None, origin="submission",
        sender=Address("alice@example.com"), recipients=[Recipient(email="bob@example.org")],
        blob_id="b1", size=21, created_at="2026-11-21T22:00:00Z", send_at=send_at,
        slot=f"example.org {send_at}", expires="example.org 2600-01-01T00:00:00Z", warns=None,
        needs_release=needs_release,
    )  # fmt: skip


def test_retry_says_how_many_are_due_and_how_many_their_senders_have_put_off(
    run: Runner, tmp_path: Path
) -> None:
    async def main() -> None:
        async with (
            open_app(Config(data_dir=tmp_path / "data")) as app,
            app.store.write("system") as tx,
        ):
            await records.put_row(tx, _row("q1", "2500-01-01T00:00:00Z", needs_release=False))
            await records.put_row(tx, _row("q2", "2500-01-01T00:00:00Z", needs_release=True))

    assert run("queue", "retry", "--all").code != 0
    asyncio.run(main())
    assert run("queue", "retry", "--all").out.splitlines() == [
        "1 due now. A running server sees it within seconds.",
        "1 waits for the time that the sender has set.",
    ]
    assert run("queue", "retry", "q2").out == "1 waits for the time that the sender has set.\n"


def test_doctor_names_destinations_that_are_not_reached_and_mail_that_is_not_signed(
    run: Runner, tmp_path: Path
) -> None:
    async def main() -> None:
        async with open_app(Config(data_dir=tmp_path / "data")) as app, app.store.write("system") as tx:
            await records.put_row(tx, _row("q1", "2500-01-01T00:00:00Z", needs_release=False))
            dead = Destination(
                id="dead.example", due="2500-01-01T00:00:00Z", failures=7, reply="451 4.4.1 no"
            )
            await records.put_destination(tx, dead)

    asyncio.run(main())
    found = {one["name"]: one for one in run("doctor", "--json").json}
    assert found["queue"]["level"] == found["dkim"]["level"] == "warning"
    assert "dead.example: 7 attempts reached nobody (451 4.4.1 no)" in found["queue"]["text"]
    run("domain", "add", "example.com")
    found = {one["name"]: one for one in run("doctor", "--json").json}
    assert found["dkim"]["text"].startswith("example.com: signed")
