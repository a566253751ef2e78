"""Written by tools/sync_client.py (RFC 8620), from:

veredus.client.blobs
"""

from collections.abc import Iterator

from veredus.client import blobs as _blobs
from veredus.client.portal import Portal


class Download:
    """A blob on its way. ``size``: in octets, None where the server does not say; ``type``: as it says."""

    def __init__(self, portal: Portal, of: _blobs.Download) -> None:
        self._portal, self._of = portal, of

    @property
    def size(self) -> int | None:
        return self._of.size

    @property
    def type(self) -> str:
        return self._of.type

    def __iter__(self) -> Iterator[bytes]:
        return self._portal.iterate(aiter(self._of))

    def read(self) -> bytes:
        """All of it, in memory."""
        return self._portal.call(self._of.read())
