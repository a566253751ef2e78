"""What a submission reads of its message: is it valid, who wrote it, to whom (RFC 8621 §7.5)."""

from collections.abc import Sequence

from veredus.formats.mime.email import CONVENIENCE
from veredus.formats.mime.header import as_addresses, as_date
from veredus.mail.identity import is_mailbox
from veredus.wire.errors import SetError
from veredus.wire.types import JsonObject

# Properties of an Email by header field, none of which may be there twice (RFC 5322 §3.6).
_ONCE = {field: name for name, (field, _) in CONVENIENCE.items()}
_RECIPIENTS = ("to", "cc", "bcc")


class Fields:
    """The header fields of an Email, by lower-case name."""

    def __init__(self, headers: Sequence[JsonObject]) -> None:
        self._values: dict[str, list[str]] = {}
        for header in headers:
            self._values.setdefault(header["name"].lower(), []).append(header["value"])

    def addresses(self, name: str) -> list[str]:
        """The addresses of all fields of that name, those in groups too; where one has none, its name."""
        found = [one for value in self._values.get(name, ()) for one in as_addresses(value)]
        return [one["email"] or one["name"] or "" for one in found]

    def recipients(self) -> list[str]:
        """The deduplicated addresses of To, Cc and Bcc, as they are written first.

        The domain has no case; whether the local part has is its host's to know (RFC 5321 §2.4).
        """
        unique: dict[tuple[str, str], str] = {}
        for name in _RECIPIENTS:
            for address in self.addresses(name):
                local, _, domain = address.rpartition("@")
                unique.setdefault((local, domain.lower()), address)
        return list(unique.values())

    def check(self) -> None:
        """Raise invalidEmail with all properties for which no host should take it (RFC 5322 §3.6)."""
        bad = [name for field, name in _ONCE.items() if len(self._values.get(field, ())) > 1]
        authors, sender = self.addresses("from"), self.addresses("sender")
        if not authors or not all(map(is_mailbox, authors)) or (len(authors) > 1 and not sender):
            bad.append("from")
        if "sender" in self._values and not (len(sender) == 1 and is_mailbox(sender[0])):
            bad.append("sender")
        if as_date(self._values.get("date", [""])[0]) is None:
            bad.append("sentAt")
        if bad:
            raise SetError(
                "invalidEmail",
                "Missing, twice in the header, or not what RFC 5322 allows there.",
                properties=sorted(set(bad)),
            )
