"""What else can be compared: envelope (RFC 5228 §5.4), parts of addresses (RFC 5233), one of several fields
(RFC 5260 §6); and how: relational (RFC 5231), regex (draft-ietf-sieve-regex).
"""

from veredus.formats.sieve.address_parts import ADDRESS_PART, part_of
from veredus.formats.sieve.extensions.variables import MODIFIERS, REGEX_MODIFIER
from veredus.formats.sieve.fields import FIELDS
from veredus.formats.sieve.matching import MATCH_TYPE, MATCHING, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Run, Test

_ENVELOPE_PARTS = ("from", "to")


def _envelope(args: Arguments) -> Test:
    """RFC 5228 §5.4."""
    parts, part, matches = args.texts(0), part_of(args), matcher(args, 1)
    for name in parts.constant or ():
        if name.lower() not in _ENVELOPE_PARTS:
            raise args.error(f'there is no envelope part "{name}" here; there are from and to', 0)

    def envelope(run: Run) -> bool:
        addresses = {"from": run.environment.sender, "to": run.environment.recipient}
        found = [addresses[name.lower()] for name in parts.of(run) if name.lower() in addresses]
        values = part([address for address in found if address], run.environment.subaddress_separator)
        # Of the null reverse-path every part is "".
        return matches(run, [*values, *(address for address in found if not address)])

    return envelope


ENVELOPE = Extension(
    ("envelope",),
    tests=(Spec("envelope", _envelope, (Kind.STRINGS, Kind.STRINGS), traits=(MATCHING, ADDRESS_PART)),),
)
RELATIONAL = Extension(
    ("relational",),
    tags={MATCHING: (Tag("value", Kind.STRING, MATCH_TYPE), Tag("count", Kind.STRING, MATCH_TYPE))},
)
REGEX = Extension(("regex",), tags={MATCHING: (Tag("regex", group=MATCH_TYPE),), MODIFIERS: REGEX_MODIFIER})
SUBADDRESS = Extension(
    ("subaddress",), tags={ADDRESS_PART: (Tag("user", group=ADDRESS_PART), Tag("detail", group=ADDRESS_PART))}
)
INDEX = Extension(("index",), tags={FIELDS: (Tag("index", Kind.NUMBER), Tag("last"))})
# Its strings are decoded where arguments are bound.
ENCODED_CHARACTER = Extension(("encoded-character",))
