"""The Mailboxes of an account: what gives filters, routes and headers their names and roles."""

from collections.abc import Mapping

from veredus.bridge.source import AccountSource
from veredus.client.search.mailboxes import Mailboxes
from veredus.wire.types import Id, JsonObject

PROPERTIES = "id name parentId role sortOrder totalEmails unreadEmails totalThreads unreadThreads".split()


class MailboxIndex:
    """As they were when ``refresh`` was last called; ``all`` by id."""

    def __init__(self, source: AccountSource) -> None:
        self._source = source
        self.all: Mapping[Id, JsonObject] = {}
        self.roles: Mapping[Id, str] = {}
        self.search = Mailboxes()

    async def refresh(self) -> None:
        """Raises what the client raises."""
        got = await self._source.client.get("Mailbox", None, PROPERTIES, account=self._source.account)
        self.all = {record.id: record.json for record in got.list}
        self.roles = {id: box["role"] for id, box in self.all.items() if box.get("role")}
        self.search = Mailboxes(self.all.values())
