"""Who makes a request, who exists, and what they may use."""

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from veredus.wire.types import Id

Access = Literal["read", "write"]


class AccountInfo(Struct, frozen=True):
    """An account as one user sees it (RFC 8620 §2)."""

    id: Id
    name: str
    is_personal: bool
    access: Access


class Identity(Struct, frozen=True):
    """Who makes a request. ``scope`` "read": nothing may be changed with these credentials.

    ``credential`` names the token or the password that was used, without telling it; a password that is
    changed has another name.
    """

    user: str
    credential: str
    scope: Access = "write"


class Authenticator(Protocol):
    async def authenticate(self, authorization: str) -> Identity | None:
        """The identity that proves itself with this Authorization header field, or None."""
        ...

    async def is_valid(self, identity: Identity) -> bool:
        """Whether the credentials that once proved this identity would still do so."""
        ...

    def challenge(self) -> str:
        """The value of WWW-Authenticate."""
        ...


class Directory(Protocol):
    """Who exists, and which address belongs to whom."""

    async def fresh(self) -> int:
        """A number that rises when users, credentials, accounts or grants may have changed; at the latest
        a second after they did, whichever process changed them."""
        ...

    async def resolve(self, recipient: str) -> Id | None:
        """The account that receives mail for this address, or None."""
        ...

    async def addresses(self, account: Id) -> Sequence[str]:
        """The addresses of an account, in lower case, in the order in which it got them. ``*@`` and a domain
        stands for every address there that is nobody else's."""
        ...

    async def accounts(self, user: str) -> Sequence[AccountInfo]:
        """The accounts this user may use, the user's own first."""
        ...
