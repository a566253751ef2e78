"""Arguments checked against what their command or test takes (RFC 5228 §2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veredus.formats.sieve.errors import SieveError
from veredus.formats.sieve.signature import Arguments, Compiling, Kind, Spec, Tag
from veredus.formats.sieve.texts import Texts, decode_characters, namespaces

if TYPE_CHECKING:
    from veredus.formats.sieve.syntax import Argument, Node


_TAG_TOO_LATE = "tags stand before the other arguments"


def bind(compiler: Compiling, node: Node, spec: Spec) -> Arguments:
    """The arguments of ``node``; its tests and its block are for the compiler."""
    args = Arguments(compiler, node.name, node.offset)
    waiting = list(node.arguments)
    while waiting and isinstance(waiting[0].value, str):
        argument = waiting.pop(0)
        tag = _tag(compiler, spec, argument, args)
        if tag.takes is None:
            args.given[tag.name] = True
        elif not waiting:
            raise compiler.source.error(f":{tag.name} needs {tag.takes.value}", argument.offset)
        else:
            args.places[tag.name] = waiting[0].offset
            args.given[tag.name] = _value(compiler, waiting.pop(0), tag.takes, f":{tag.name} needs")
    _positional(compiler, waiting, spec, args)
    return args


def _tag(compiler: Compiling, spec: Spec, argument: Argument, args: Arguments) -> Tag:
    tag = compiler.tag(spec, str(argument.value), argument.offset)
    if tag.name in args.given:
        raise compiler.source.error(f":{tag.name} is given twice", argument.offset)
    if tag.group is not None:
        if other := args.choices.get(tag.group):
            raise compiler.source.error(f":{tag.name} does not go with :{other}", argument.offset)
        args.choices[tag.group] = tag.name
    args.places[tag.name] = argument.offset
    return tag


def _positional(compiler: Compiling, waiting: list[Argument], spec: Spec, args: Arguments) -> None:
    kinds = list(spec.positional)
    is_short = spec.optional != "none" and len(waiting) == len(kinds) - 1
    if is_short:
        del kinds[0 if spec.optional == "first" else -1]
    if is_short and spec.optional == "first":
        args.positional.append(None)
    for number, kind in enumerate(kinds):
        if number >= len(waiting):
            raise compiler.source.error(f"{spec.name} needs {_all_of(spec)}", args.offset)
        args.places[len(args.positional)] = waiting[number].offset
        args.positional.append(_value(compiler, waiting[number], kind, f"{spec.name} takes"))
    for argument in waiting[len(kinds) :]:
        too_many = f"{spec.name} takes no {'more arguments' if kinds else 'such argument'}"
        is_tag = isinstance(argument.value, str)
        raise compiler.source.error(_TAG_TOO_LATE if is_tag else too_many, argument.offset)
    if is_short and spec.optional == "last":
        args.positional.append(None)


def _all_of(spec: Spec) -> str:
    kinds = list(spec.positional)
    if spec.optional != "none":
        del kinds[0 if spec.optional == "first" else -1]
    return " and ".join(kind.value for kind in kinds)


def _value(compiler: Compiling, argument: Argument, kind: Kind, why: str) -> Texts | int:
    value = argument.value
    if kind is Kind.NUMBER and isinstance(value, int):
        return value
    if isinstance(value, tuple) and (kind is Kind.STRINGS or (kind is Kind.STRING and not argument.is_list)):
        return texts(compiler, value, argument.offset)
    raise compiler.source.error(
        _TAG_TOO_LATE if isinstance(value, str) else f"{why} {kind.value} here", argument.offset
    )


def texts(compiler: Compiling, strings: tuple[str, ...], offset: int) -> Texts:
    """Strings as the extensions that were required understand them."""
    if "encoded-character" in compiler.required:
        try:
            strings = tuple(map(decode_characters, strings))
        except ValueError as error:
            raise compiler.source.error(str(error), offset) from None
    has_variables = "variables" in compiler.required
    if has_variables:
        known = {"global"} if "include" in compiler.required else set()
        for namespace in namespaces(strings) - known:
            raise _unknown_namespace(compiler, namespace, offset)
    return Texts(strings, has_variables=has_variables)


def _unknown_namespace(compiler: Compiling, namespace: str, offset: int) -> SieveError:
    return compiler.source.error(f'there are no variables in a namespace "{namespace}"', offset)
