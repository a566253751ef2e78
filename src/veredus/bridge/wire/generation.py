"""The three generations of jmap2nats, whose streams a bridge may continue.

``0a`` is the oldest; ``0`` moved the id of the Email out of the subject; ``1`` ("schema 1, frozen") put the
account into message ids and object keys, so that several accounts may share a stream. An empty stream gets
``1``.
"""

from collections.abc import Mapping

from msgspec import Struct

from veredus.bridge.settings import PartsSettings, Wire
from veredus.bridge.wire import email as payload
from veredus.bridge.wire import go_json, headers, parts
from veredus.bridge.wire.message import MSG_ID, Message
from veredus.bridge.wire.values import require_id
from veredus.wire.types import JsonObject

# No blob id has a dot, so this is never the key of a part.
WHOLE_EMAIL = "_email.json"


class Generation(Struct, frozen=True, kw_only=True):
    """How one generation writes. Ids are checked wherever they become part of a name: NotAnId."""

    name: Wire
    id_in_subject: bool = False
    account_in_ids: bool = False
    schema_version: str = ""
    has_attachment_always: bool = False
    text_only_decoded: bool = False

    @classmethod
    def of(cls, name: Wire) -> "Generation":
        """The generation of that name."""
        return GENERATIONS[name]

    def subject(self, prefix: str, account_id: str, email_id: str) -> str:
        """``<prefix>.<accountId>``, in 0a with ``.<emailId>``."""
        account, email = require_id(account_id, "account id"), require_id(email_id, "Email id")
        return f"{prefix}.{account}.{email}" if self.id_in_subject else f"{prefix}.{account}"

    def msg_id(self, account_id: str, email_id: str) -> str:
        """The Nats-Msg-Id; before 1 without the account, so that accounts in one stream may collide."""
        account, email = require_id(account_id, "account id"), require_id(email_id, "Email id")
        return f"{account}/{email}" if self.account_in_ids else email

    def object_key(self, account_id: str, email_id: str, blob_id: str) -> str:
        """The name of a part in the object store."""
        return f"{self.msg_id(account_id, email_id)}/{require_id(blob_id, 'blob id')}"

    def spill_key(self, account_id: str, email_id: str) -> str:
        """The name of a payload in the object store that was too large for a message."""
        return f"{self.msg_id(account_id, email_id)}/{WHOLE_EMAIL}"

    def parts_of(self, email: JsonObject, settings: PartsSettings) -> list[parts.PartPlan]:
        """What is to be done with each blob of ``email``, in the order of jmap2nats."""
        return parts.plans(email, settings, text_only_decoded=self.text_only_decoded)

    def message(
        self,
        prefix: str,
        account_id: str,
        email: JsonObject,
        outcomes: Mapping[str, parts.Outcome],
        extra: Mapping[str, str] | None = None,
    ) -> Message:
        """The message of a created Email. ``outcomes`` by blobId; ``extra`` headers replace none of these.

        Raises NotAnId when the Email has no usable id, BadHeaderName for a bad name in ``extra``.
        """
        email_id, account_id = require_id(email.get("id"), "Email id"), require_id(account_id, "account id")
        own, added = self._headers(email, account_id, email_id), headers.checked(extra or {})
        return Message(
            subject=self.subject(prefix, account_id, email_id),
            msg_id=self.msg_id(account_id, email_id),
            headers=own | {name: value for name, value in added.items() if name not in own},
            payload=go_json.encode(self._view(email, account_id, email_id, outcomes)),
            spill_key=self.spill_key(account_id, email_id),
        )

    def _headers(self, email: JsonObject, account_id: str, email_id: str) -> dict[str, str]:
        version = {headers.SCHEMA_VERSION: self.schema_version} if self.schema_version else {}
        return version | headers.email_headers(email, account_id, email_id)

    def _view(
        self, email: JsonObject, account_id: str, email_id: str, outcomes: Mapping[str, parts.Outcome]
    ) -> JsonObject:
        view = payload.view(email, account_id, email_id, outcomes)
        if not (self.has_attachment_always or view["hasAttachment"]):
            del view["hasAttachment"]
        return view


GENERATIONS: dict[Wire, Generation] = {
    "0a": Generation(name="0a", id_in_subject=True),
    "0": Generation(name="0"),
    "1": Generation(
        name="1",
        account_in_ids=True,
        schema_version="1",
        has_attachment_always=True,
        text_only_decoded=True,
    ),
}


def detect(last_subject: str | None, prefix: str, last_headers: Mapping[str, str] | None) -> Wire:
    """The generation that wrote the last message of a stream; ``last_subject`` None: it is empty.

    A message elsewhere than below ``prefix`` says nothing, as in a stream that is managed by others.
    """
    tokens = _tokens_below(prefix, last_subject)
    found = {name.lower(): value for name, value in (last_headers or {}).items()}
    # Between 0 and 1 some versions had the ids of 1, and no header for it yet.
    has_account = "/" in found.get(MSG_ID.lower(), "")
    if not tokens or has_account or headers.SCHEMA_VERSION.lower() in found:
        return "1"
    return "0" if tokens == 1 else "0a"


def _tokens_below(prefix: str, subject: str | None) -> int:
    below = (subject or "").removeprefix(f"{prefix}.")
    return 0 if below == (subject or "") else below.count(".") + 1
