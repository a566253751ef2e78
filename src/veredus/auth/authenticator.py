"""Authentication of requests: Basic with a password or token, Bearer with a token (RFC 7617, 6750)."""

import asyncio
import base64
import binascii
import hashlib

from veredus.auth.directory import StoreDirectory
from veredus.auth.password import CredentialCache, PasswordVerifier
from veredus.ports import Authenticator, Identity

# Makes secrets easy to recognise, in logs and by scanners.
TOKEN_PREFIX = "vrd_"  # noqa: S105 - the prefix, not a secret
# Ids of tokens begin with a k.
_PASSWORD = "password-"  # noqa: S105


def digest_of(secret: str) -> str:
    """How a token is stored. It is random and long, so a fast hash is enough (DESIGN.md §5)."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _password_name(hash: str | None) -> str:
    """What a password is called in an Identity: tells one from the next, and nothing else of it."""
    return _PASSWORD + digest_of(hash or "")[:16]


class StoreAuthenticator:
    """Authenticator (ports) over a StoreDirectory."""

    def __init__(self, directory: StoreDirectory, verifier: PasswordVerifier, cache_ttl_s: float) -> None:
        self._directory, self._verifier, self._ttl_s = directory, verifier, cache_ttl_s
        self._cache = CredentialCache(ttl_s=cache_ttl_s)
        self._epoch = -1
        # What is being checked now, by the epoch and the field.
        self._checks: dict[tuple[int, str], asyncio.Task[Identity | None]] = {}

    def challenge(self) -> str:
        return 'Basic realm="JMAP", charset="UTF-8"'

    async def is_valid(self, identity: Identity) -> bool:
        user = await self._directory.user(identity.user)
        if user is None:
            return False
        if identity.credential.startswith(_PASSWORD):
            return identity.credential == _password_name(user["password"])
        token = await self._directory.token_of_id(identity.credential)
        return token is not None and token["user"] == identity.user and token["scope"] == identity.scope

    async def authenticate(self, authorization: str) -> Identity | None:
        epoch = await self._directory.fresh()
        if epoch != self._epoch:
            # A password, token or user may have changed: every credential is checked anew.
            self._cache, self._epoch = CredentialCache(ttl_s=self._ttl_s), epoch
        cache = self._cache
        identity = cache.recall(authorization)
        if identity is None:
            started = cache.epoch
            identity = await asyncio.shield(self._checked(epoch, authorization))
            if identity is not None:
                cache.remember(authorization, identity, epoch=started)
        return identity

    def _checked(self, epoch: int, authorization: str) -> asyncio.Task[Identity | None]:
        """One check for all who come with the same credentials at the same time: after a restart a client
        with a hundred streams opens them all at once."""
        key = (epoch, authorization)
        check = self._checks.get(key)
        if check is None:
            check = self._checks[key] = asyncio.create_task(self._check(authorization))
            check.add_done_callback(lambda _: self._checks.pop(key, None))
        return check

    async def _check(self, authorization: str) -> Identity | None:
        scheme, _, value = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                return await self._token(value.strip(), None)
            case "basic":
                return await self._basic(value.strip())
        return None

    async def _basic(self, value: str) -> Identity | None:
        try:
            user, colon, password = base64.b64decode(value, validate=True).decode("utf-8").partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not colon:
            return None
        if password.startswith(TOKEN_PREFIX):
            return await self._token(password, user)
        record = await self._directory.user(user.lower())
        if not await self._verifier.verify(record["password"] if record else None, password):
            return None
        return Identity(user.lower(), _password_name(record["password"])) if record else None

    async def _token(self, secret: str, user: str | None) -> Identity | None:
        """The identity behind a token; with ``user``, only if it is that user's."""
        token = await self._directory.token(digest_of(secret))
        if token is None or (user is not None and token["user"] != user.lower()):
            return None
        if await self._directory.user(token["user"]) is None:
            return None
        return Identity(token["user"], token["id"], token["scope"])


_: type[Authenticator] = StoreAuthenticator
