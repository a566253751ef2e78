"""Which Emails a caller means, and what changes them all alike (RFC 8621 §4.6)."""

from collections.abc import Iterable
from typing import TypeAlias

from veredus.client.chunks import set_in_chunks
from veredus.client.errors import JMAPError
from veredus.client.exchange import Exchange
from veredus.client.mail.search import Search
from veredus.client.mail_types import Email
from veredus.client.results import SetErrors, SetResult
from veredus.wire.patch import escape
from veredus.wire.types import Id, JsonObject

# Ids and fetched Emails do alike, and so does a Search: of that, only the ids are fetched.
Emails: TypeAlias = Id | Email | Iterable[Id | Email] | Search


class NotFound(JMAPError):
    """The account has no such object, or no longer."""

    def __init__(self, host: str, type: str, id: Id) -> None:
        super().__init__(f"{host}: there is no {type} {id}")
        self.host, self.type, self.id = host, type, id


def id_of(email: Id | Email) -> Id:
    return email if isinstance(email, str) else email.id


async def ids_of(emails: Emails) -> list[Id]:
    """Each once, in order."""
    if isinstance(emails, Search):
        return [id async for id in emails.ids()]
    # Text and a record are iterable, too, but never meant so.
    several = [emails] if isinstance(emails, str | Email) else emails
    return list(dict.fromkeys(map(id_of, several)))


def pointer(property: str, key: str) -> str:
    """A path of a PatchObject (RFC 8620 §5.3)."""
    return f"{property}/{escape(key)}"


async def set_emails(
    exchange: Exchange,
    account: Id,
    *,
    update: dict[Id, JsonObject] | None = None,
    destroy: list[Id] | None = None,
    create: dict[Id, JsonObject] | None = None,
) -> SetResult:
    """Email/set in as many requests as it takes. Raises SetErrors, which holds what succeeded."""
    changes: JsonObject = {"create": create or {}, "update": update or {}, "destroy": destroy or []}
    if not any(changes.values()):
        return SetResult()
    result = await set_in_chunks(exchange, "Email", changes, account, None, chunk=True, extra={})
    return checked(exchange, "Email/set", account, result)


def checked(exchange: Exchange, method: str, account: Id, result: SetResult) -> SetResult:
    """``result`` without errors. Raises SetErrors."""
    if result.errors:
        raise SetErrors(exchange.session.host, method, account, result)
    return result
