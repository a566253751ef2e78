"""What a client may write into a PushSubscription (RFC 8620 §7.2), checked value by value."""

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from veredus.formats.webpush import parse_keys
from veredus.push.web import records
from veredus.push.web.records import Record
from veredus.wire.dates import utc_date
from veredus.wire.errors import SetError
from veredus.wire.types import JsonObject, UTCDate

# §7.2: credentials here do not end by themselves, so the server sets an end, and bounds what a client asks
# for: to more than the 48 hours that it must grant, and the 7 days that it should.
LIFETIME = timedelta(days=7)
MAX_LIFETIME = timedelta(days=30)
_MAX_TEXT = 255
_MAX_URL = 2048
_MAX_TYPES = 100

# Properties of a subscription by who sets them.
IMMUTABLE = frozenset({"id", "deviceClientId", "url", "keys"})
MUTABLE = frozenset({"verificationCode", "expires", "types", "emailPush"})
# What null, or leaving it out, means.
DEFAULTS: JsonObject = {"keys": None, "verificationCode": None, "expires": None, "types": None}


class Invalid(Exception):
    """Properties that may not be so; ``reasons`` by name."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(", ".join(reasons))
        self.reasons = reasons

    def to_set_error(self) -> SetError:
        return SetError.invalid_properties(
            self.reasons, " ".join(f"{name}: {reason}" for name, reason in self.reasons.items())
        )


class Checks:
    """Gathers what is wrong with the properties of one subscription."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def wrong(self, name: str, reason: str) -> None:
        self.reasons.setdefault(name, reason)

    def done(self) -> None:
        """Raises Invalid."""
        if self.reasons:
            raise Invalid(self.reasons)

    def known(self, given: JsonObject, *, email_push: bool) -> None:
        """Whether there are such properties; ``emailPush`` only for those who use that capability."""
        names = IMMUTABLE | MUTABLE if email_push else (IMMUTABLE | MUTABLE) - {"emailPush"}
        for name in given:
            if name not in names:
                self.wrong(name[:100], "there is no such property.")

    def device(self, value: Any) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= _MAX_TEXT:
            self.wrong("deviceClientId", f"it must be a string of 1 to {_MAX_TEXT} characters.")
            return ""
        return value

    def url(self, value: Any, check_url: Callable[[str], str | None]) -> str:
        if not isinstance(value, str) or len(value) > _MAX_URL:
            self.wrong("url", f"it must be a string of at most {_MAX_URL} characters.")
            return ""
        reason = check_url(value)
        if reason is not None:
            self.wrong("url", f"{reason}.")
        return value

    def keys(self, value: Any) -> dict[str, str] | None:
        if value is None:
            return None
        if not isinstance(value, dict) or set(value) != {"p256dh", "auth"}:
            self.wrong("keys", "they are null or an object of p256dh and auth.")
            return None
        try:
            if not all(isinstance(text, str) for text in value.values()):
                raise ValueError("p256dh and auth must be strings")
            parse_keys(value["p256dh"], value["auth"])
        except ValueError as error:
            self.wrong("keys", f"{error}.")
        return {"p256dh": value["p256dh"], "auth": value["auth"]}

    def expires(self, value: Any, now: datetime) -> UTCDate:
        """The end that is granted."""
        if value is None:
            return utc_date(now + LIFETIME)
        try:
            asked = records.moment(msgspec.convert(value, UTCDate))
        except ValueError:
            self.wrong("expires", "it must be null or a UTCDate.")
            return ""
        if asked <= now:
            self.wrong("expires", "it must lie in the future.")
        bound = now + MAX_LIFETIME
        return str(value) if asked <= bound else utc_date(bound)

    def types(self, value: Any) -> list[str] | None:
        """Names this server does not know are kept: it never has news of them."""
        if value is None:
            return None
        if not isinstance(value, list) or not all(
            isinstance(name, str) and len(name) <= _MAX_TEXT for name in value
        ):
            self.wrong("types", "they must be null or a list of strings.")
            return None
        if len(value) > _MAX_TYPES:
            self.wrong("types", f"there may be at most {_MAX_TYPES}.")
        return value

    def code(self, value: Any, old: Record) -> str | None:
        """The code that stands afterwards; only the one that was pushed may be written."""
        if value == old.verification_code:
            return old.verification_code
        # In the same time however much of it is right.
        if not isinstance(value, str) or not hmac.compare_digest(value.encode(), old.code.encode()):
            self.wrong("verificationCode", "it is not the code that was pushed to the URL.")
        return old.code
