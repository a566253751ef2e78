"""Names of scripts (RFC 9661 §2.1)."""

import unicodedata
from itertools import count

from veredus.ports import Transaction
from veredus.wire.errors import SetError

# In octets; as much as ManageSieve asks for (RFC 5804 §1.6), and so RFC 9661 §1.2.1.
MAX_NAME_SIZE = 512


def checked_name(name: str) -> str:
    """A name as it is stored: Net-Unicode (RFC 5198), so in NFC. Raises SetError invalidProperties."""
    name = unicodedata.normalize("NFC", name)
    if not name or any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in name):
        raise SetError.invalid_properties(["name"], "Empty, or with control characters (RFC 5198).")
    if len(name.encode()) > MAX_NAME_SIZE:
        raise SetError.invalid_properties(["name"], f"Longer than {MAX_NAME_SIZE} octets.")
    return name


async def free_name(tx: Transaction) -> str:
    """A name for a script to which the client gave none."""
    taken = {record["name"] for record in await tx.get("SieveScript", None, {"name"})}
    return next(name for n in count(1) if (name := f"Script {n}") not in taken)
