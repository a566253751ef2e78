"""body (RFC 5173): what stands in the message behind its header."""

from collections.abc import Callable, Iterator, Sequence

from veredus.formats.html import html_to_text
from veredus.formats.mime.message import Part, decode_text
from veredus.formats.sieve.matching import MATCHING, matcher
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Run, Test

_STEP = 16 * 1024  # octets decoded for one step
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
    for part in run.message.root.walk():
        if not wanted or part.type == wanted or ("/" not in wanted and part.type.startswith(f"{wanted}/")):
            yield part_text(run, part)


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
    """The decoded text of a part; of a multipart what stands before its first part and behind its last."""
    found = run.texts.get((part.start, part.end))
    if found is None:
        octets = _around(part) if part.is_multipart else part.content()
        run.step(len(octets) // _STEP)
        found, _ = decode_text(octets[:_LONGEST], part.charset, part.encoding)
        run.texts[part.start, part.end] = found
    return found


def seen_text(run: Run, part: Part) -> str:
    """What a reader sees of an HTML part."""
    key = (part.start, -1)
    if key not in run.texts:
        html = part_text(run, part)
        run.step(len(html) // 1024)
        run.texts[key] = html_to_text(html)
    return run.texts[key]


def _around(part: Part) -> bytes:
    if not part.sub_parts:
        return part.body
    first, last = part.sub_parts[0], part.sub_parts[-1]
    before = part.data[part.start : first.start].split(b"--" + (part.boundary or b""), 1)[0]
    end = part.data[last.end : part.end].split(b"--" + (part.boundary or b"") + b"--", 1)
    return before + (end[1] if len(end) > 1 else b"")


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
