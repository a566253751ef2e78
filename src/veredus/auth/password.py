"""Passwords: argon2id (RFC 9106), checked outside the event loop, and a short memory of what was checked.

One check takes 19 MiB and some 50 ms of a processor, so what is bounded here is how many happen at once.
"""

import asyncio
import secrets
import time
import unicodedata
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import error_to_str
from msgspec import Struct

from veredus.ports import Identity, Unavailable

# What the OWASP Password Storage Cheat Sheet asks for at least: 19 MiB, 2 passes, 1 lane. The low-memory
# profile of RFC 9106 §4 (64 MiB, 3 passes) takes six times as long: too much where clients that poll send the
# password every time. Hashes made with other parameters, or by argon2i and argon2d, are checked as they are.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)
_NO_MEMORY = error_to_str(-22)  # ARGON2_MEMORY_ALLOCATION_ERROR; other errors say that the hash is none


def hash_password(password: str) -> str:
    """A PHC string (``$argon2id$v=19$...``). Takes some 50 ms: for the command line, or a thread."""
    return _HASHER.hash(_prepared(password))


def needs_rehash(hash: str) -> bool:
    """Whether ``hash`` was made with other parameters than ours; to be asked after it was verified."""
    try:
        return _HASHER.check_needs_rehash(hash)
    except InvalidHashError:
        return True


class PasswordVerifier:
    """Checks passwords in threads: ``at_once`` of them, while at most ``waiting`` more wait."""

    def __init__(self, *, at_once: int = 2, waiting: int = 64) -> None:
        self._pool = ThreadPoolExecutor(at_once, "password")
        self._free = at_once + waiting

    async def verify(self, hash: str | None, password: str) -> bool:
        """Whether ``hash`` was made from ``password``.

        None, an unknown user: False after the time that a wrong password takes, so that timing does not tell
        who exists. Unavailable when too many wait, whoever asks.
        """
        if self._free == 0:
            raise Unavailable("too many passwords wait to be verified")
        self._free -= 1
        try:
            # A caller that gives up takes its check out of the queue, but cannot stop one that has begun.
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, _matches, _DUMMY if hash is None else hash, _prepared(password)
            )
        finally:
            self._free += 1

    async def close(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)


class _Entry(Struct, frozen=True):
    identity: Identity
    until: float


class CredentialCache:
    """Remembers for ``ttl_s`` seconds whom an Authorization header field was found to prove.

    Keyed by a keyed hash of the field, with a key that dies with the process, never by the field itself.
    The least recently used of more than ``size`` is forgotten. Time counts from the check, however often an
    entry is used, because another process may have changed the password since.

    Failures are not remembered: a stranger could push out the users who are at work, and a user whose
    password was set a moment ago would be refused. To make guessing slow is the business of the rate limit.
    """

    def __init__(self, *, ttl_s: float, size: int = 4096, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s, self._size, self._now = ttl_s, size, now
        self._key = secrets.token_bytes(32)
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        # Rises when something is forgotten; see ``remember``.
        self.epoch = 0

    def recall(self, authorization: str) -> Identity | None:
        key = self._digest(authorization)
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.until <= self._now():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry.identity

    def remember(self, authorization: str, identity: Identity, *, epoch: int) -> None:
        """``epoch``: what it was before the check began. A password that was changed during the check is not
        remembered.
        """
        if epoch != self.epoch:
            return
        key = self._digest(authorization)
        self._entries[key] = _Entry(identity, self._now() + self._ttl_s)
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)

    def forget_user(self, user: str) -> None:
        """To be called after the user's credentials have changed, or the user is gone."""
        self.epoch += 1
        for key in [key for key, entry in self._entries.items() if entry.identity.user == user]:
            del self._entries[key]

    def _digest(self, authorization: str) -> bytes:
        return blake2b(authorization.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()


def _prepared(password: str) -> bytes:
    """In NFC, as RFC 8265 §4.2 asks: keyboards differ in how they compose the same letter."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _matches(hash: str, password: bytes) -> bool:
    try:
        return _HASHER.verify(hash, password)
    except VerifyMismatchError:
        return False
    except (VerificationError, ValueError) as error:
        if hash is _DUMMY or str(error) == _NO_MEMORY:
            raise Unavailable(str(error)) from error
        # Not a hash, as of a user who has no password: takes the time of one.
        return _matches(_DUMMY, password)


def _dummy() -> str:
    """A hash with our parameters that no password matches."""
    salt, digest = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    costs = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    return f"$argon2id$v=19${costs}${salt}${digest}"


_DUMMY = _dummy()
