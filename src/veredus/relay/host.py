"""A host that may be connected to, and what the connection must be like."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from veredus.resolver import TlsaRecord

# opportunistic: TLS if it is offered and works, with any certificate. encrypted: TLS with any certificate
# (RFC 7672 §2.2: TLSA records, but none that can be used). verified: with a certificate for the host's name
# from a known authority. dane: with one that the TLSA records name.
Level = Literal["opportunistic", "encrypted", "verified", "dane"]


class Host(Struct, frozen=True):
    """``addresses`` in the order in which they are tried; ``records`` only with dane."""

    name: str
    addresses: Sequence[str]
    level: Level
    records: Sequence[TlsaRecord] = ()
