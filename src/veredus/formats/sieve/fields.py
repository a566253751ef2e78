"""Where tests find header fields: all of a name, the one that :index means, those of a MIME part."""

from collections.abc import Callable, Sequence

from veredus.formats.mime.encoded_word import as_text
from veredus.formats.mime.parameters import parse as parse_value
from veredus.formats.sieve.addresses import addresses_in
from veredus.formats.sieve.signature import Arguments
from veredus.formats.sieve.state import Run
from veredus.formats.sieve.texts import Texts

# Traits: of tests that may take one of several fields (RFC 5260 §6), that may look at MIME parts, and at one
# part of a field (RFC 5703 §4).
FIELDS = "fields"
MIME = "mime"
MIME_OPTIONS = "mime-options"

Names = Callable[[Run], Sequence[str]]
Source = Callable[[Run, str], Sequence[str]]


def field_names(args: Arguments, at: int) -> Names:
    """The header field names in a positional argument, in lower case."""
    texts = args.texts(at)
    if texts.constant is None:
        return lambda run: [name.lower() for name in texts.of(run)]
    constant = Texts(tuple(name.lower() for name in texts.constant), has_variables=False)
    return constant.of


def text_source(args: Arguments) -> Source:
    """Decoded values of a field."""
    raw, option = raw_source(args), _option(args)
    if option is not None:
        source = raw or _all
        return lambda run, name: [text for value in source(run, name) for text in option(run, value)]
    if raw is not None:
        return lambda run, name: [as_text(value).strip() for value in raw(run, name)]
    return lambda run, name: run.headers.texts(name)


def address_source(args: Arguments) -> Source:
    """The addresses in a field."""
    raw = raw_source(args)
    if raw is None:
        return lambda run, name: run.headers.addresses(name)
    return lambda run, name: [address for value in raw(run, name) for address in addresses_in(value)]


def raw_source(args: Arguments) -> Source | None:
    """The raw values that the tags of a test select; None: all of the message, no tag says otherwise."""
    pick = index_of(args)
    if args.has("mime"):
        source = _parts(args.has("anychild"))
    elif args.has("anychild"):
        raise args.error(":anychild needs :mime", "anychild")
    elif pick is None:
        return None
    else:
        source = _all
    return source if pick is None else lambda run, name: source(run, name)[pick]


def _all(run: Run, name: str) -> list[str]:
    return run.headers.raw(name)


def _parts(any_child: bool) -> Source:
    """The fields of the MIME part that a loop is at, or of the message (RFC 5703 §4)."""

    def values(run: Run, name: str) -> list[str]:
        part = run.parts[-1] if run.parts else run.message.root
        parts = part.walk() if any_child else [part]
        run.step(len(parts) // 8)
        return [
            value
            for inner in parts
            for value in (
                run.headers.raw(name)
                if inner is run.message.root
                else [header.value for header in inner.headers if header.name.lower() == name]
            )
        ]

    return values


def _option(args: Arguments) -> Callable[[Run, str], list[str]] | None:
    """What of a field such as Content-Type is compared (RFC 5703 §4.1)."""
    option = args.choices.get(MIME_OPTIONS)
    if option is None:
        return None
    if not args.has("mime"):
        raise args.error(f":{option} needs :mime", option)
    if option == "param":
        names = args.texts("param")
        return lambda run, value: _parameters(value, names.of(run))
    return lambda run, value: [_TYPES[option](parse_value(value)[0])]


def _parameters(value: str, names: Sequence[str]) -> list[str]:
    _, parameters = parse_value(value)
    return [parameters[name.lower()] for name in names if name.lower() in parameters]


_TYPES: dict[str, Callable[[str], str]] = {
    "type": lambda type_: type_.partition("/")[0],
    "subtype": lambda type_: type_.partition("/")[2],
    "contenttype": lambda type_: type_,
}


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
