"""What is pushed: StateChange, PushVerification (RFC 8620 §7), EmailPush (draft-ietf-jmap-emailpush)."""

from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from veredus.wire.types import Id


class StateChange(Struct, frozen=True, tag_field="@type", tag="StateChange", rename="camel"):
    """New states by type by account (§7.1). ``push_state``: over WebSocket only (RFC 8887 §4.3.5.1)."""

    changed: Mapping[Id, Mapping[str, str]]
    push_state: str | UnsetType = UNSET


class PushVerification(Struct, frozen=True, tag_field="@type", tag="PushVerification", rename="camel"):
    """Proves that whoever made a subscription reads what is pushed to its URL (§7.2.2)."""

    push_subscription_id: Id
    verification_code: str


class EmailPush(Struct, frozen=True, tag_field="@type", tag="EmailPush", rename="camel"):
    """New Emails of one account, with the properties that the subscription asked for."""

    account_id: Id
    emails: list[dict[str, Any]]
    state: str
