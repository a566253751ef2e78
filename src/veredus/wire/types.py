"""The data types of RFC 8620 §1 as annotated types: what a value must look like on the wire."""

import re
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

JsonObject: TypeAlias = dict[str, Any]

# §1.2: 1 to 255 octets of the URL and file name safe base64 alphabet.
Id: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[A-Za-z0-9_-]+\Z")]
BlobId: TypeAlias = Id
MAX_INT = 2**53 - 1
# §1.3
Int: TypeAlias = Annotated[int, Meta(ge=-MAX_INT, le=MAX_INT)]
UnsignedInt: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_INT)]
# §1.4: RFC 3339 with upper-case letters and no zero fraction.
_DATE = r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d*[1-9])?"
Date: TypeAlias = Annotated[str, Meta(pattern=_DATE + r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)\Z")]
UTCDate: TypeAlias = Annotated[str, Meta(pattern=_DATE + r"Z\Z")]

_ID = re.compile(r"[A-Za-z0-9_-]{1,255}\Z")


def is_id(value: object) -> bool:
    """Whether ``value`` is an Id (§1.2)."""
    return isinstance(value, str) and _ID.match(value) is not None
