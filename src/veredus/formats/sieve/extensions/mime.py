"""MIME parts (RFC 5703): foreverypart, tests of the fields of a part, extracttext."""

from veredus.formats.sieve.extensions.body import part_text, seen_text
from veredus.formats.sieve.extensions.variables import MODIFIERS, modify, variable_name
from veredus.formats.sieve.fields import MIME, MIME_OPTIONS
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Flow, Run


def _foreverypart(args: Arguments) -> Command:
    """§3: every part of the message, depth-first; inside another loop, those below the part that it is at."""
    block, name = args.block, _loop_name(args)
    assert block is not None

    def foreverypart(run: Run) -> Flow | None:
        parts = run.parts[-1].walk()[1:] if run.parts else run.message.root.walk()
        run.step(len(parts) // 16)
        for part in parts:
            run.step()
            run.parts.append(part)
            flow = block(run)
            run.parts.pop()
            if flow is Flow.BREAK and run.breaking in (None, name):
                run.breaking = None
                return None
            if flow is not None:
                return flow
        return None

    return foreverypart


def _loop_name(args: Arguments) -> str | None:
    return args.constant("name", "the name of a loop") if args.has("name") else None


def _break(args: Arguments) -> Command:
    name = _loop_name(args)
    if not args.compiler.loops:
        raise args.error("break is only for inside of foreverypart")
    if name is not None and name not in map(_loop_name, args.compiler.loops):
        raise args.error(f'there is no foreverypart :name "{name}" around this', "name")

    def break_(run: Run) -> Flow:
        run.breaking = name
        return Flow.BREAK

    return break_


def _extracttext(args: Arguments) -> Command:
    """§7: the text of the part that the loop is at; "" if it has none."""
    args.compiler.check_capability("variables", "extracttext", args.offset)
    if not args.compiler.loops:
        raise args.error("extracttext is only for inside of foreverypart")
    name, modified, first = variable_name(args, 0), modify(args), args.number("first")

    def extracttext(run: Run) -> None:
        part = run.parts[-1]
        text = ""
        if part.type == "text/html":
            text = seen_text(run, part)
        elif part.type.startswith("text/"):
            text = part_text(run, part)
        longest = run.limits.max_variable
        run.set_variable(name, modified(text[: longest if first is None else min(first, longest)]))

    return extracttext


_NAME = (Tag("name", Kind.STRING),)

FOREVERYPART = Extension(
    ("foreverypart",),
    commands=(
        Spec("foreverypart", _foreverypart, tags=_NAME, has_block=True),
        Spec("break", _break, tags=_NAME),
    ),
)
MIME_TESTS = Extension(
    ("mime",),
    tags={
        MIME: (Tag("mime"), Tag("anychild")),
        MIME_OPTIONS: (
            Tag("type", group=MIME_OPTIONS),
            Tag("subtype", group=MIME_OPTIONS),
            Tag("contenttype", group=MIME_OPTIONS),
            Tag("param", Kind.STRINGS, MIME_OPTIONS),
        ),
    },
)
EXTRACTTEXT = Extension(
    ("extracttext",),
    commands=(
        Spec(
            "extracttext",
            _extracttext,
            (Kind.STRING,),
            tags=(Tag("first", Kind.NUMBER),),
            traits=(MODIFIERS,),
        ),
    ),
)
