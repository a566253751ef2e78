"""What somebody has who only ever read JMAP_EVENTS: it must be what the server has."""

from typing import Any

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from e2e.clients import HttpJmap
from faults.checks import messages

TYPES = ("Email", "Mailbox", "Thread")
# What of each type is compared; ids always are.
_COMPARED = {
    "Email": ("mailboxIds", "keywords", "subject", "receivedAt"),
    "Mailbox": ("name", "role", "totalEmails", "unreadEmails"),
    "Thread": ("emailIds",),
}


def table(**more: str) -> str:
    """The line of a configuration that makes events of `TYPES`."""
    types = ", ".join(f'"{type}"' for type in TYPES)
    rest = "".join(f', {name} = "{value}"' for name, value in more.items())
    return f"events = {{ enabled = true, types = [{types}]{rest} }}\n"


async def events_are_read(jmap: HttpJmap, nats: Client) -> bool:
    """Whether the cursor of each type is where the server is."""
    js = nats.jetstream()
    for type in TYPES:
        try:
            entry = await (await js.key_value("JMAP_BRIDGE")).get(f"ckpt.{jmap.account}.{type}")
        except NotFoundError:
            return False
        if (entry.value or b"").decode() != (await jmap.call(f"{type}/get", ids=[]))["state"]:
            return False
    return True


async def replay_gives_the_servers_state(jmap: HttpJmap, nats: Client) -> int:
    """All events one after the other, and nothing else; how many there were."""
    found = [one for one in await messages(nats, "JMAP_EVENTS") if one.body["account"] == jmap.account]
    ids = [one.message_id for one in found]
    assert len(ids) == len(set(ids)), "one Nats-Msg-Id twice within the window of duplicates"
    for type in TYPES:
        known = _replayed([one.body for one in found if one.body["type"] == type])
        there = {record["id"]: record for record in await _all(jmap, type)}
        assert known.keys() == there.keys(), (
            f"{type}: missing {there.keys() - known.keys()}, left over {known.keys() - there.keys()}"
        )
        for id, record in there.items():
            for name in _COMPARED[type]:
                assert _plain(known[id].get(name)) == _plain(record.get(name)), f"{type} {id}: {name}"
    return len(found)


def _replayed(events: list[Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for event in events:
        if event["op"] == "destroyed":
            known.pop(event["id"], None)
        elif event["op"] != "resync":
            known[event["id"]] = event["after"]
    return known


def _plain(value: Any) -> Any:
    """The order in a list of ids says nothing."""
    return sorted(value) if isinstance(value, list) else value


async def _all(jmap: HttpJmap, type: str) -> list[Any]:
    if type == "Mailbox":
        return list((await jmap.call("Mailbox/get"))["list"])
    ids = (await jmap.call("Email/query", limit=1000))["ids"]
    emails = (await jmap.call("Email/get", ids=ids, properties=["threadId", *_COMPARED["Email"]]))["list"]
    if type == "Email":
        return list(emails)
    threads = sorted({email["threadId"] for email in emails})
    return list((await jmap.call("Thread/get", ids=threads))["list"])
