"""What a server can do beyond 2.9, by its version."""

import re

from msgspec import Struct


class Features(Struct, frozen=True):
    """What the server can do beyond 2.9."""

    version: tuple[int, int, int]
    metadata: bool  # of streams; and compression
    per_message_ttl: bool
    atomic_batch: bool


def features(version: str) -> Features:
    """Of a version as the server tells it: ``2.9.10``, ``2.12.0-RC.1``."""
    numbers = [int(number) for number in re.findall(r"\d+", version.partition("-")[0])[:3]]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    at = (major, minor)
    return Features(
        version=(major, minor, patch),
        metadata=at >= (2, 10),
        per_message_ttl=at >= (2, 11),
        atomic_batch=at >= (2, 12),
    )
