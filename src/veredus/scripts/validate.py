"""SieveScript/validate (RFC 9661 §2.6)."""

from veredus.schema import Access, Method
from veredus.scripts.content import Check, check_blob
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId, JsonObject


class ValidateArguments(AccountArguments, kw_only=True):
    """SieveScript/validate (§2.6)."""

    blob_id: BlobId


class ValidateMethod:
    """Says what SieveScript/set would say of a script's content, and stores nothing."""

    def __init__(self, max_size: int, check: Check) -> None:
        self._max_size, self._check = max_size, check

    def method(self) -> Method:
        return Method("SieveScript/validate", ValidateArguments, self.run)

    async def run(self, ctx: Access, args: ValidateArguments) -> JsonObject:
        error = None
        try:
            await check_blob(ctx, args.blob_id, self._max_size, self._check)
        except SetError as refused:
            error = refused.to_json()
        return {"accountId": args.account_id, "error": error}
