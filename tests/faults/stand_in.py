"""A program with the bridge's loop in its barest form, for the tests of the kill schedule.

Arguments: the JMAP server's URL, the URL of NATS, the account, the password. It reads /changes from a cursor in KV, stores the raw
message of each Email as an object, publishes, and moves the cursor; then it begins again.
"""

import asyncio
import sys

import nats
from nats.js.errors import NotFoundError

from e2e.clients import HttpJmap


async def main(url: str, nats_url: str, user: str, password: str) -> None:
    jmap = HttpJmap(url, (user, password))
    await jmap.session()
    connection = await nats.connect(nats_url, allow_reconnect=False)
    js = connection.jetstream()
    kv, objects = await js.key_value("CURSOR"), await js.object_store("parts")
    while True:
        try:
            state = ((await kv.get("account.a")).value or b"").decode()
        except NotFoundError:
            state = "0"
        changes = await jmap.call("Email/changes", sinceState=state)
        for id in changes["created"]:
            [email] = (await jmap.call("Email/get", ids=[id], properties=["blobId"]))["list"]
            await objects.put(f"a/{id}", await jmap.download(email["blobId"]))
            await js.publish("mail.a", id.encode(), headers={"Nats-Msg-Id": id})
        if changes["newState"] != state:
            await kv.put("account.a", changes["newState"].encode())
        else:
            await asyncio.sleep(0.02)


def run() -> None:
    asyncio.run(main(*sys.argv[1:]))
