"""Parts of addresses (RFC 5228 §2.7.4, RFC 5233), and the tests that compare them."""

from collections.abc import Callable, Sequence

from veredus.formats.mime.parameters import unquote
from veredus.formats.sieve.fields import address_source, field_names
from veredus.formats.sieve.matching import matcher
from veredus.formats.sieve.signature import Arguments
from veredus.formats.sieve.state import Run, Test

# The trait of the tests with address parts, and the group of their tags.
ADDRESS_PART = "address-part"

Part = Callable[[Sequence[str], str | None], Sequence[str]]


def addresses_of(args: Arguments, fields: int, keys: int) -> Test:
    """The test ``address``: parts of the addresses in the fields that one argument names."""
    names, addresses = field_names(args, fields), address_source(args)
    part, matches = part_of(args), matcher(args, keys)

    def address(run: Run) -> bool:
        found = [value for name in names(run) for value in addresses(run, name)]
        return matches(run, part(found, run.environment.subaddress_separator))

    return address


def part_of(args: Arguments) -> Part:
    """Makes of addresses what the test compares, given the separator of subaddresses."""
    return _PARTS[args.choices.get(ADDRESS_PART, "all")]


def _all(addresses: Sequence[str], separator: str | None) -> Sequence[str]:
    return addresses


def _localpart(addresses: Sequence[str], separator: str | None) -> list[str]:
    return [local for local, _ in _split(addresses)]


def _domain(addresses: Sequence[str], separator: str | None) -> list[str]:
    return [domain for _, domain in _split(addresses)]


def _user(addresses: Sequence[str], separator: str | None) -> list[str]:
    local_parts = _localpart(addresses, separator)
    return [local.partition(separator)[0] for local in local_parts] if separator else local_parts


def _detail(addresses: Sequence[str], separator: str | None) -> list[str]:
    """An address without a separator has none, which no key matches, not even "" (RFC 5233 §4)."""
    if not separator:
        return []
    found = [local.partition(separator) for local in _localpart(addresses, separator)]
    return [detail for _, mark, detail in found if mark]


def _split(addresses: Sequence[str]) -> list[tuple[str, str]]:
    """(local part, domain) of each; what is no address has no parts (RFC 5228 §2.7.4)."""
    found = []
    for address in addresses:
        local, _, domain = address.rpartition("@")
        if local and domain:
            if len(local) > 1 and local[0] == local[-1] == '"':
                local = unquote(local[1:-1])
            found.append((local, domain))
    return found


_PARTS: dict[str, Part] = {
    "all": _all,
    "localpart": _localpart,
    "domain": _domain,
    "user": _user,
    "detail": _detail,
}
