"""Names of domains, as they are kept and asked for: A-labels in lower case (RFC 5890)."""

import re

import idna

_NAME = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)


class DomainError(ValueError):
    """What was asked for cannot be done; the message says why."""


def a_labels(name: str) -> str:
    """``name`` in A-labels, without a dot at its end. Raises DomainError."""
    name = name.strip().removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode()
        except idna.IDNAError as error:
            raise DomainError(f"{name!r} is not the name of a domain: {error}") from None
    if not _NAME.fullmatch(name.lower()):
        raise DomainError(f"{name!r} is not the name of a domain, such as example.com")
    return name.lower()


def u_labels(name: str) -> str:
    """An A-label name as people read it."""
    try:
        return idna.decode(name)
    except idna.IDNAError:
        return name
