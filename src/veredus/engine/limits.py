"""The limits of the core capability (RFC 8620 §2), and the counting of what is in flight."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from veredus.formats.collation import ALGORITHMS
from veredus.wire.errors import MethodError, RequestError
from veredus.wire.types import JsonObject


class Limits(Struct, frozen=True, rename="camel", kw_only=True):
    """The members of ``urn:ietf:params:jmap:core``; sizes in octets."""

    max_size_upload: int = 50 * 1024 * 1024
    max_concurrent_upload: int = 8
    max_size_request: int = 10 * 1024 * 1024
    max_concurrent_requests: int = 8
    max_calls_in_request: int = 64
    max_objects_in_get: int = 1000
    max_objects_in_set: int = 1000

    def to_json(self) -> JsonObject:
        """The core capability object."""
        return {**self.by_name(), "collationAlgorithms": list(ALGORITHMS)}

    def by_name(self) -> dict[str, int]:
        """The limits by their wire names."""
        values = [getattr(self, field) for field in self.__struct_fields__]
        return dict(zip(self.__struct_encode_fields__, values, strict=True))


# Octets that one request may read or write in blobs, and those of them that its response may hold.
WORK = 1024 * 1024 * 1024
HOLD = 32 * 1024 * 1024


class Budget(Struct):
    """What a request may still spend: memory and time are bounded by what is in flight."""

    work: int = WORK
    hold: int = HOLD

    def take_work(self, octets: int) -> None:
        """Raises requestTooLarge when there is less than that."""
        if octets > self.work:
            raise MethodError.request_too_large("The request reads or writes too many octets of blobs.")
        self.work -= octets

    def take_hold(self, octets: int) -> None:
        """The same for octets that stay in memory."""
        if octets > self.hold:
            raise MethodError.request_too_large("The response would be too large; download the blobs.")
        self.hold -= octets


class InFlight:
    """How many requests, or streams, of one kind each user has running."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._running: Counter[str] = Counter()

    @contextmanager
    def one(self, user: str) -> Iterator[None]:
        """Count one more while the block runs; raises RequestError "limit" beyond the most allowed."""
        self._begin(user)
        try:
            yield
        finally:
            self.end(user)

    @contextmanager
    def begun(self, user: str) -> Iterator[None]:
        """Count one more until ``end``, or not at all when the block fails; raises as ``one`` does."""
        self._begin(user)
        try:
            yield
        except BaseException:
            self.end(user)
            raise

    def _begin(self, user: str) -> None:
        if self._running[user] >= self._most:
            raise RequestError.over_limit(self._name, f"At most {self._most} at once.", status=429)
        self._running[user] += 1

    def end(self, user: str) -> None:
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]
