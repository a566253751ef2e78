"""Whether an account is whole, as a client sees it: counters, lists, threads, quota, queries, change logs."""

from collections import Counter
from typing import Any

from msgspec import Struct

from e2e.clients import HttpJmap

_TYPES = ("Email", "Mailbox", "Thread", "Quota")
_EMAIL = ["blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt", "messageId"]

Records = dict[str, dict[str, Any]]


class Copy(Struct):
    """All records of a type as they were at a state."""

    state: str
    records: Records


Copies = dict[str, Copy]


async def copied(client: HttpJmap) -> Copies:
    """All that the account holds."""
    copies = {}
    gets = [
        (f"{type}/get", {"ids": None, **({"properties": _EMAIL} if type == "Email" else {})})
        for type in _TYPES
    ]
    for type, response in zip(_TYPES, await client.calls(gets), strict=True):
        copies[type] = Copy(response["state"], {record["id"]: record for record in response["list"]})
    return copies


async def check_whole(client: HttpJmap, now: Copies, word: str = "words") -> None:
    """Everything that is derived agrees with what it is derived from; nothing may change meanwhile.

    ``word``: stands in the body of every Email.
    """
    emails, mailboxes = now["Email"].records, now["Mailbox"].records
    threads: dict[str, list[str]] = {}
    for email in sorted(emails.values(), key=lambda email: str(email["receivedAt"])):
        threads.setdefault(email["threadId"], []).append(email["id"])
        assert email["mailboxIds"].keys() <= mailboxes.keys(), email
        assert email["mailboxIds"], email
    stored = {id: thread["emailIds"] for id, thread in now["Thread"].records.items()}
    assert {id: sorted(ids) for id, ids in stored.items()} == {id: sorted(ids) for id, ids in threads.items()}
    for ids in stored.values():
        assert [emails[id]["receivedAt"] for id in ids] == sorted(emails[id]["receivedAt"] for id in ids)
    _check_counters(emails, mailboxes, threads)
    used = {quota["resourceType"]: quota["used"] for quota in now["Quota"].records.values()}
    assert used == {"count": len(emails), "octets": sum(email["size"] for email in emails.values())}
    found_in = await client.calls([("Email/query", {"filter": {"inMailbox": id}}) for id in mailboxes])
    for id, response in zip(mailboxes, found_in, strict=True):
        found = response["ids"]
        assert sorted(found) == sorted(email["id"] for email in emails.values() if id in email["mailboxIds"])
    # The full text is indexed in the transaction that stores the Email.
    assert sorted((await client.call("Email/query", filter={"body": word}))["ids"]) == sorted(emails)


def _check_counters(emails: Records, mailboxes: Records, threads: dict[str, list[str]]) -> None:
    """RFC 8621 §2; nothing is in the trash, so its rule does not matter."""
    expected = {id: Counter[str]() for id in mailboxes}
    for email in emails.values():
        for id in email["mailboxIds"]:
            expected[id]["totalEmails"] += 1
            expected[id]["unreadEmails"] += _is_unread(email)
    for ids in threads.values():
        is_unread = any(_is_unread(emails[id]) for id in ids)
        for mailbox in {mailbox for id in ids for mailbox in emails[id]["mailboxIds"]}:
            expected[mailbox]["totalThreads"] += 1
            expected[mailbox]["unreadThreads"] += is_unread
    for id, mailbox in mailboxes.items():
        for name in ("totalEmails", "unreadEmails", "totalThreads", "unreadThreads"):
            assert mailbox[name] == expected[id][name], (mailbox, name, expected[id])


def _is_unread(email: dict[str, Any]) -> bool:
    return not {"$seen", "$draft"} & email["keywords"].keys()


async def check_replay(client: HttpJmap, past: Copies, now: Copies, page: int | None) -> None:
    """Following /changes from ``past`` in pages of ``page`` gives what is there now."""
    for type in _TYPES:
        records, state, more = dict(past[type].records), past[type].state, True
        while more:
            changes = await client.call(f"{type}/changes", sinceState=state, maxChanges=page)
            for id in changes["destroyed"]:
                records.pop(id, None)
            # Of a page in the middle a record may be gone again by now.
            for id in (*changes["created"], *changes["updated"]):
                records.pop(id, None)
                if id in now[type].records:
                    records[id] = now[type].records[id]
            state, more = changes["newState"], changes["hasMoreChanges"]
        assert (state, records) == (now[type].state, now[type].records), type


async def check_state(client: HttpJmap, type: str, state: str, now: Copies) -> None:
    """A state that was given out can be asked about."""
    changes = await client.call(f"{type}/changes", sinceState=state)
    there = now[type].records.keys()
    assert there >= {*changes["created"], *changes["updated"]}
    assert not there & set(changes["destroyed"])
    assert changes["newState"] == now[type].state


class Listing(Struct):
    """A query's result at a state."""

    state: str
    ids: list[str]


_QUERY = {"sort": [{"property": "receivedAt", "isAscending": False}, {"property": "size"}]}


async def listing(client: HttpJmap, mailbox: str) -> Listing:
    response = await client.call("Email/query", filter={"inMailbox": mailbox}, **_QUERY)
    assert response["canCalculateChanges"]
    return Listing(response["queryState"], response["ids"])


async def check_splice(client: HttpJmap, mailbox: str, past: Listing) -> None:
    """Splicing what /queryChanges tells into a cached list gives what /query gives (RFC 8620 §5.6)."""
    changes = await client.call(
        "Email/queryChanges", filter={"inMailbox": mailbox}, sinceQueryState=past.state, **_QUERY
    )
    ids = [id for id in past.ids if id not in set(changes["removed"])]
    for added in sorted(changes["added"], key=lambda added: int(added["index"])):
        ids.insert(added["index"], added["id"])
    assert ids == (await listing(client, mailbox)).ids
