"""``mailto:`` URIs (RFC 6068), the one way of notification there is (RFC 5436)."""

from typing import NamedTuple
from urllib.parse import unquote

from veredus.formats.sieve.addresses import is_address

# RFC 5436 §2.7: fields that a URI must not set are left out; besides addresses, these are of use.
_MOST_RECIPIENTS = 10
_TAKEN = ("subject", "body")


class Mailto(NamedTuple):
    """``subject`` and ``body`` None: the URI says nothing of them."""

    recipients: tuple[str, ...]
    subject: str | None
    body: str | None


def mailto(uri: str) -> Mailto:
    """What a URI says. ValueError if it is no ``mailto:``, or names nobody."""
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme.lower() != "mailto":
        raise ValueError("only mailto: is a method of notification here")
    path, _, query = rest.partition("?")
    fields: dict[str, str] = {}
    recipients = _addresses(path)
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        name = unquote(name).lower()
        if name in ("to", "cc", "bcc"):
            recipients += _addresses(value)
        elif name in _TAKEN:
            fields[name] = unquote(value)
    if not 1 <= len(recipients) <= _MOST_RECIPIENTS:
        raise ValueError(f"the mailto: URI must have 1 to {_MOST_RECIPIENTS} addresses")
    subject = fields.get("subject")
    return Mailto(
        tuple(dict.fromkeys(recipients)),
        None if subject is None else " ".join(subject.split()),
        fields.get("body"),
    )


def _addresses(text: str) -> list[str]:
    # A comma between two addresses is often written as %2C.
    addresses = [address.strip() for address in unquote(text).split(",") if address.strip()]
    for address in addresses:
        if not is_address(address):
            raise ValueError(f'"{address}" in the mailto: URI is no address')
    return addresses
