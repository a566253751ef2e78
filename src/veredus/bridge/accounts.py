"""Which accounts of a session a bridge reads."""

from collections.abc import Sequence

from veredus.bridge.settings import JmapSettings
from veredus.client.errors import JMAPError
from veredus.client.session import MAIL, Session
from veredus.wire.types import Id

ALL = "*"


class NoAccount(JMAPError):
    """The session does not have an account that is named."""


def accounts_of(session: Session, settings: JmapSettings) -> list[Id]:
    """Ids. Raises NoAccount; NotSupported when there is none for mail and none is named."""
    named = settings.accounts
    if not named:
        return [session.account_for(MAIL)]
    if ALL in named:
        return [id for id, account in session.accounts.items() if MAIL in account.account_capabilities]
    for id in named:
        require(session, id)
    return list(named)


def chosen(session: Session, settings: JmapSettings, id: Id | None) -> Id:
    """The account that a command is for; None: the only one. Raises NoAccount, NotSupported."""
    read = accounts_of(session, settings)
    if id is None:
        if len(read) != 1:
            raise NoAccount(f"{session.host}: name one of the accounts with --account: {_listed(read)}")
        return read[0]
    if id not in read:
        raise NoAccount(f"{session.host}: this bridge reads no account {id!r}, but {_listed(read)}")
    return id


def require(session: Session, id: Id) -> None:
    """Raises NoAccount."""
    if id not in session.accounts:
        known = _listed(list(session.accounts))
        raise NoAccount(f"{session.host}: no account {id!r} in this session; there are: {known}")


def _listed(ids: Sequence[Id]) -> str:
    return ", ".join(ids) or "none"
