"""Real mailing lists thread as RFC 8621 §3 suggests and as Cyrus does, whatever the order of arrival."""

import mailbox
import random
from pathlib import Path
from typing import Any

import pytest

from corpus.mail_corpus import CORPUS, crlf, needs_corpus, read_json
from jmap import STORES, Jmap, new_user, open_server

pytestmark = [needs_corpus, pytest.mark.rfc("8621", "3"), pytest.mark.should]

LISTS = ("asterix-dev-201709-mailarchivesao", "httpd-users-200606-part", "maven-dev-2017-11-mailarchivesao")
BATCH = 50


def messages_of(name: str) -> list[bytes]:
    box = mailbox.mbox(CORPUS / "threads" / "ponymail" / f"{name}.mbox", create=False)
    try:
        return [crlf(box.get_bytes(key)) for key in box.keys()]  # noqa: SIM118 - a mbox is no dict
    finally:
        box.close()


async def threads_of(jmap: Jmap, messages: list[bytes], order: list[int]) -> dict[int, str]:
    """Import in that order; the thread of each message by its number."""
    blobs: dict[str, int] = {}
    for start in range(0, len(order), BATCH):
        emails = {}
        for n in order[start : start + BATCH]:
            # A field of its own, so that copies of one message are told apart.
            blob = await jmap.upload(b"X-Number: %d\r\n" % n + messages[n])
            blobs[blob] = n
            emails[f"c{n}"] = {"blobId": blob, "mailboxIds": {await jmap.mailbox("inbox"): True}}
        response = await jmap.call("Email/import", emails=emails)
        assert response["notCreated"] is None
    found = (await jmap.call("Email/get", ids=None, properties=["blobId", "threadId"]))["list"]
    assert len(found) == len(messages)
    return {blobs[email["blobId"]]: email["threadId"] for email in found}


def partition(threads: dict[int, str]) -> set[frozenset[int]]:
    groups: dict[str, set[int]] = {}
    for n, thread in threads.items():
        groups.setdefault(thread, set()).add(n)
    return set(map(frozenset, groups.values()))


def orders(count: int) -> dict[str, list[int]]:
    arrival = list(range(count))
    return {
        "arrival": arrival,
        "reversed": arrival[::-1],
        "shuffled": random.Random(8621).sample(arrival, count),
    }


@pytest.mark.parametrize("order", ["arrival", "reversed", "shuffled"])
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("store", STORES)
async def test_agreed_threads_are_found(store: str, name: str, order: str, tmp_path: Path) -> None:
    if store != "memory" and order != "shuffled":
        pytest.skip("the order does not depend on the store")
    expected: Any = read_json(f"threads/ponymail/{name}.mbox.threads.json")
    messages = messages_of(name)
    assert len(messages) == len(expected["messages"])
    async with open_server(store, tmp_path) as app:
        jmap = await new_user(app)
        found = partition(await threads_of(jmap, messages, orders(len(messages))[order]))
        agreed = {frozenset(thread) for thread in expected["threads_agreed_rfc8621_and_cyrus"]}
        assert agreed - found == set()
        # The Thread objects say the same.
        lists = (await jmap.call("Thread/get", ids=None))["list"]
        assert sorted(map(len, found)) == sorted(len(thread["emailIds"]) for thread in lists)
