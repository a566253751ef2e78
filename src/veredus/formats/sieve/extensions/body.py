"""body (RFC 5173): what stands in the message behind its header."""

from collections.abc import Callable, Iterator, Sequence

from veredus.formats.html import html_to_text
from veredus.formats.mime.message import Part, decode_text, parse
from veredus.formats.sieve.matching import MATCHING, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Run, Test

_STEP = 16 * 1024  # octets decoded for one step
_MESSAGE = "message/rfc822"
_DEEPEST = 5  # messages within messages
_LONGEST = 2 * 1024 * 1024  # octets of one part that are looked at


def _body(args: Arguments) -> Test:
    # §6: a match in the body sets no ${1}, which would take much memory.
    values, matches = _transform(args), matcher(args, 0, captures=False)
    return lambda run: matches(run, values(run))


def _transform(args: Arguments) -> Callable[[Run], Sequence[str]]:
    match args.choices.get("transform", "text"):
        case "raw":
            return _raw
        case "content":
            types = args.texts("content")
            return lambda run: [text for type_ in types.of(run) for text in _contents(run, type_.lower())]
        case _:
            return _texts


def _raw(run: Run) -> list[str]:
    """§5.1: the body as it came, nothing decoded."""
    octets = run.message.data[run.message.root.start :][:_LONGEST]
    run.step(len(octets) // _STEP)
    return [octets.decode("utf-8", "replace")]


def _contents(run: Run, wanted: str) -> Iterator[str]:
    """§5.2: "" is every type, "text" all of its subtypes, "text/plain" one type."""
    if wanted.startswith("/") or wanted.endswith("/") or wanted.count("/") > 1:
        return
    for part in _with_nested(run, run.message.root, 0):
        if not wanted or part.type == wanted or ("/" not in wanted and part.type.startswith(f"{wanted}/")):
            yield from _strings(run, part)


def _with_nested(run: Run, root: Part, depth: int) -> Iterator[Part]:
    """All parts, those of messages within the message as well."""
    for part in root.walk():
        yield part
        if part.type == _MESSAGE and depth < _DEEPEST:
            yield from _with_nested(run, _nested(run, part), depth + 1)


def _nested(run: Run, part: Part) -> Part:
    """The root of a message within the message."""
    if part not in run.nested:
        octets = part.content()
        run.step(1 + len(octets) // _STEP)
        run.nested[part] = parse(octets).root
    return run.nested[part]


def _strings(run: Run, part: Part) -> list[str]:
    """What is searched of a part: of a multipart what stands around its parts, of a message its header."""
    if part.is_multipart:
        return [text.decode("utf-8", "replace") for text in _around(part)]
    if part.type == _MESSAGE:
        root = _nested(run, part)
        header = root.data[: root.start].replace(b"\r\n", b"\n").removesuffix(b"\n")
        return [header.decode("utf-8", "replace")]
    return [part_text(run, part)]


def _texts(run: Run) -> list[str]:
    """§5.3: what a reader sees."""
    found = []
    for part in run.message.root.walk():
        if part.type == "text/html":
            found.append(seen_text(run, part))
        elif part.type.startswith("text/"):
            found.append(part_text(run, part))
    return found


def part_text(run: Run, part: Part) -> str:
    """The decoded text of a part that is no multipart."""
    found = run.texts.get(part)
    if found is None:
        octets = part.content()
        run.step(len(octets) // _STEP)
        found, _ = decode_text(octets[:_LONGEST], part.charset, part.encoding)
        run.texts[part] = found
    return found


def seen_text(run: Run, part: Part) -> str:
    """What a reader sees of an HTML part."""
    found = run.seen.get(part)
    if found is None:
        html = part_text(run, part)
        run.step(len(html) // 1024)
        found = run.seen[part] = html_to_text(html)
    return found


def _around(part: Part) -> tuple[bytes, bytes]:
    """Prologue and epilogue of a multipart."""
    if not part.sub_parts or part.boundary is None:
        return part.body, b""
    delimiter = b"--" + part.boundary
    prologue = part.data[part.start : part.sub_parts[0].start].partition(delimiter)[0]
    epilogue = part.data[part.sub_parts[-1].end : part.end].partition(delimiter + b"--")[2]
    return prologue, epilogue


BODY = Extension(
    ("body",),
    tests=(
        Spec(
            "body",
            _body,
            (Kind.STRINGS,),
            tags=(
                Tag("raw", group="transform"),
                Tag("content", Kind.STRINGS, "transform"),
                Tag("text", group="transform"),
            ),
            traits=(MATCHING,),
        ),
    ),
)
