"""Where tests find the values of header fields: all of a name, or the one that :index means (RFC 5260 §6)."""

from collections.abc import Callable, Sequence

from veredus.formats.mime.addresses import as_addresses
from veredus.formats.mime.encoded_word import as_text
from veredus.formats.sieve.signature import Arguments
from veredus.formats.sieve.state import Run

# The trait of tests that look at header fields.
FIELDS = "fields"

Names = Callable[[Run], Sequence[str]]
Source = Callable[[Run, str], Sequence[str]]


def field_names(args: Arguments, at: int) -> Names:
    """The header field names in a positional argument, in lower case."""
    texts = args.texts(at)
    if texts.constant is None:
        return lambda run: [name.lower() for name in texts.of(run)]
    constant = tuple(name.lower() for name in texts.constant)
    return lambda run: constant


def text_source(args: Arguments) -> Source:
    """Decoded values of a field."""
    raw = raw_source(args)
    if raw is not None:
        return lambda run, name: [as_text(value).strip() for value in raw(run, name)]
    return lambda run, name: run.headers.texts(name)


def address_source(args: Arguments) -> Source:
    """The addresses in a field."""
    raw = raw_source(args)
    if raw is not None:
        return lambda run, name: [
            a["email"] for value in raw(run, name) for a in as_addresses(value) if a["email"]
        ]
    return lambda run, name: run.headers.addresses(name)


def raw_source(args: Arguments) -> Source | None:
    """The raw values that the tags of a test select; None: all of the message, no tag says otherwise."""
    pick = index_of(args)
    if pick is None:
        return None
    return lambda run, name: run.headers.raw(name)[pick]


def index_of(args: Arguments) -> slice | None:
    """The one that :index and :last ask for; None if they are not there."""
    index = args.number("index")
    if index is None:
        if args.has("last"):
            raise args.error(":last needs :index", "last")
        return None
    if index < 1:
        raise args.error(":index counts from 1", "index")
    if not args.has("last"):
        return slice(index - 1, index)
    return slice(-index, 1 - index or None)
