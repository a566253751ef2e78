"""Everything that a JMAP server, or what stands before it, may do to a request: nothing is lost by it.

One bridge goes through all faults of a kind, one after the other, with mail coming at each.
"""

import asyncio
import random
from pathlib import Path

import pytest

from faults.arena import Arena
from faults.rules import (
    HTML,
    Answer,
    Cut,
    Damage,
    MethodFails,
    Replace,
    Rule,
    Silence,
    Stall,
    Throttle,
    Truncate,
)
from faults.seeding import with_attachment
from jmap import message
from waiting import until

pytestmark = pytest.mark.service
_GATEWAY = Answer(502, type="text/html", body=b"<html>Bad Gateway</html>")
_REFUSALS = (
    Answer(429, retry_after="0"), Answer(500), _GATEWAY, Answer(503, retry_after="0"), HTML, Answer(204, body=b""),
)  # fmt: skip
_BREAKS = (
    Cut("request"),
    Cut("answer"),
    Cut("body"),
    Truncate(),
    Replace(),
    Replace(b"null"),
    Replace(b"{}"),
)
_DELAYS = (
    Stall(at="request"),
    Stall(at="head"),
    Stall(at="after_head"),
    Stall(at="body"),
    Stall(0.2, "body"),
)
_KINDS = {"refusals": _REFUSALS, "breaks": _BREAKS, "delays": _DELAYS}


async def _go_through(arena: Arena, rules: list[Rule]) -> None:
    """Each alone; each must have been applied."""
    for number, rule in enumerate(rules):
        arena.proxy.add(rule)
        await arena.email(with_attachment(b"%d" % number * 1000))
        await until(lambda rule=rule: arena.proxy.applied[rule])
        await arena.until_settled()
        arena.proxy.remove(rule)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("method", ["Email/changes", "Email/get"])
async def test_an_api_request_that_suffers_costs_nothing(tmp_path: Path, kind: str, method: str) -> None:
    """``Email/get``: the second one of each round, which fetches the messages."""
    nth = 2 if method == "Email/get" else 1
    async with Arena.running(tmp_path, jmap='timeout = "1s"') as arena:
        await _go_through(
            arena, [Rule(fault=fault, method=method, nth=nth, times=1) for fault in _KINDS[kind]]
        )
        assert len(await arena.ends_well()) == len(_KINDS[kind])


@pytest.mark.parametrize("kind", _KINDS)
async def test_a_download_that_suffers_costs_nothing(tmp_path: Path, kind: str) -> None:
    faults = [fault for fault in _KINDS[kind] if not isinstance(fault, Replace)]
    faults += [Throttle(20_000)] if kind == "delays" else []
    async with Arena.running(tmp_path, jmap='timeout = "1s"') as arena:
        await _go_through(arena, [Rule(fault=fault, path="/jmap/download/*", times=1) for fault in faults])
        found = await arena.ends_well()
        assert all("objectKey" in one.body["attachments"][0] for one in found)


@pytest.mark.parametrize("kind", _KINDS)
async def test_a_first_start_that_suffers_costs_nothing(tmp_path: Path, kind: str) -> None:
    """The Session resource, the list of what is there, and the pages."""
    rules = [
        Rule(fault=fault, method=method, path=path, times=1)
        for method, path in ((None, "/jmap/session"), ("Email/query", None), ("Mailbox/get", None))
        for fault in _KINDS[kind][: 1 if kind == "delays" else 2]
    ]
    async with Arena.open(tmp_path, more='snapshot = { mode = "full" }\n', jmap='timeout = "1s"') as arena:
        for _ in range(5):
            await arena.email()
        arena.proxy.add(*rules)
        await arena.bridge.start()
        assert len(await arena.ends_well(in_order=False)) == 5
        assert all(arena.proxy.applied[rule] for rule in rules)


async def test_a_storm_of_all_faults_costs_nothing(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'poll = "1s"\n', jmap='timeout = "1s"') as arena:
        for fault in (*_REFUSALS, *_BREAKS[:5], Stall(at="body")):
            arena.proxy.add(Rule(fault=fault, path="/jmap", probability=0.05))
        for fault in (Answer(503, retry_after="0"), Cut("answer"), Cut("body"), HTML):
            arena.proxy.add(Rule(fault=fault, path="/jmap/download/*", probability=0.05))
        chance = random.Random(11)
        for _ in range(8):
            await arena.seed(8, chance)
            await asyncio.sleep(0.3)
        await until(lambda: sum(arena.proxy.applied.values()) >= 12)
        arena.proxy.clear()
        await arena.ends_well()


async def test_a_method_that_fails_costs_nothing(tmp_path: Path) -> None:
    types = ["serverFail", "serverUnavailable", "serverPartialFail", "rateLimit", "no-such-error"]
    async with Arena.running(tmp_path) as arena:
        for method in ("Email/changes", "Email/get"):
            await _go_through(
                arena, [Rule(fault=MethodFails(type, method), method=method, times=1) for type in types]
            )
        assert len(await arena.ends_well()) == 2 * len(types)


async def test_a_server_that_cannot_calculate_changes_again_and_again_is_read_anew(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        for _ in range(4):
            fault = MethodFails("cannotCalculateChanges", "Email/changes")
            arena.proxy.add(Rule(fault=fault, method="Email/changes", times=1))
            for _ in range(3):
                await arena.email()
            await arena.until_settled()
        assert len(await arena.ends_well(in_order=False)) == 12


_WRONG = [
    ("receivedAt", "yesterday"), ("receivedAt", 5), ("receivedAt", None), ("sentAt", "32 January"), ("size", "many"),
    ("size", -1), ("size", None), ("subject", 7), ("keywords", ["$seen"]), ("keywords", {"$seen": "yes"}),
    ("mailboxIds", None), ("textBody", None), ("textBody", [5]), ("attachments", "none"), ("from", {"email": 1}),
    ("from", [None]), ("bodyValues", []), ("preview", 0), ("id", 5), ("id", None), ("blobId", None), ("messageId", "one"), ("type", None),
    ("partId", 1), ("charset", 7), ("name", {}), ("isTruncated", "no"), ("value", None),
]  # fmt: skip


@pytest.mark.parametrize("filters", ["", 'filter = { exclude = "subject:nothing from:mallory in:trash" }\n'])
async def test_a_value_of_a_wrong_type_costs_no_email(tmp_path: Path, filters: str) -> None:
    """Of the one that has it only what the value is for may be missing; one whose id is wrong is asked for again."""
    async with Arena.running(tmp_path, "dlq = { max_attempts = 2 }\n" + filters) as arena:
        ids = []
        for property, value in _WRONG:
            rule = Rule(fault=Damage(property, value), method="Email/get", times=1)
            arena.proxy.add(rule)
            ids += [await arena.email(message(property)), await arena.email(message(property))]
            await arena.until_settled()
            assert arena.proxy.applied[rule] == 1, property
        found = await arena.ends_well(parts_of=0)
        assert [one.email for one in found] == ids


_WRONG_ANSWERS = [
    ("created", [5]), ("created", "all"), ("newState", 5), ("newState", None), ("hasMoreChanges", "x"),
    ("updated", [None]), ("destroyed", {}), ("methodResponses", None), ("methodResponses", [["a"]]), ("list", None),
    ("list", [1]), ("list", [{}]), ("state", None), ("id", 5), ("accountId", 4),
]  # fmt: skip


async def test_an_answer_that_is_not_as_the_rfc_says_costs_nothing(tmp_path: Path) -> None:
    async with Arena.running(tmp_path) as arena:
        faults = [Damage(property, value) for property, value in _WRONG_ANSWERS]
        await _go_through(arena, [Rule(fault=fault, method="Email/changes", times=1) for fault in faults])
        arena.bridge.errors = [line for line in arena.bridge.errors if line["event"] != "unexpected"]
        assert len(await arena.ends_well()) == len(faults)


async def test_a_server_that_is_down_for_a_while_costs_nothing(tmp_path: Path) -> None:
    async with Arena.running(tmp_path, 'poll = "1s"\n') as arena:
        arena.proxy.refuse()
        await arena.proxy.cut_all()
        for _ in range(3):
            await arena.email()
        await arena.bridge.until_said("push_lost")
        arena.proxy.clear()
        assert len(await arena.ends_well()) == 3


async def test_a_token_that_is_refused_for_a_while_costs_nothing(tmp_path: Path) -> None:
    """401 for everything, and then the same token is good again: nobody has touched the file."""
    async with Arena.running(tmp_path, 'poll = "1s"\n') as arena:
        arena.proxy.add(Rule(fault=Answer(401)))
        await arena.proxy.cut_all()
        await arena.email()
        await arena.bridge.until_said("waiting")
        arena.proxy.clear()
        assert len(await arena.ends_well()) == 1


async def test_push_that_never_says_anything_costs_nothing(tmp_path: Path) -> None:
    async with Arena.open(tmp_path, more='poll = "1s"\n') as arena:
        for path in ("/jmap/ws", "/jmap/eventsource"):
            arena.proxy.add(Rule(fault=Silence(), path=path))
        await arena.bridge.start()
        for _ in range(3):
            await arena.email()
            await arena.until_settled()
        assert len(await arena.ends_well()) == 3
