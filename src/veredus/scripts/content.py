"""The contents of scripts: which of them are accepted (RFC 9661 §2.2, §2.4)."""

import asyncio
from collections.abc import Callable

from veredus.formats.sieve import Limits, SieveError, compile
from veredus.schema import Access
from veredus.wire import blob_ids
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId

# What is wrong with the text of a script, with the line of the first mistake; None: nothing.
Check = Callable[[str], str | None]

# Longer scripts are compiled in a thread, so that requests are not held up by one of them.
_INLINE = 16 * 1024


def compiler(max_size: int) -> Check:
    """The compiler as a ``Check``. Scripts that are included need not exist (RFC 6609 §3.1)."""
    limits = Limits(max_size=max_size)

    def mistake(text: str) -> str | None:
        try:
            compile(text, limits)
        except SieveError as error:
            return str(error)
        return None

    return mistake


async def check_blob(ctx: Access, id: BlobId, max_size: int, check: Check) -> None:
    """Raise SetError (blobNotFound, tooLarge, invalidSieve) unless a blob is a valid script."""
    if blob_ids.parse(id).encoding is not None:
        # It would go with the message that it is a part of.
        raise SetError.invalid_properties(["blobId"], "A part of a message; upload it as a blob of its own.")
    found = await ctx.open_blob(id)
    if found is None:
        raise SetError("blobNotFound", notFound=[id])
    if found.size > max_size:
        raise SetError.too_large(f"A script has at most {max_size} octets.", maxSize=max_size)
    content = b"".join([chunk async for chunk in found.open(0, found.size)])
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SetError("invalidSieve", f"line {line}: not UTF-8 (RFC 5228 §2.1)") from None
    wrong = check(text) if len(content) <= _INLINE else await asyncio.to_thread(check, text)
    if wrong is not None:
        raise SetError("invalidSieve", wrong)
