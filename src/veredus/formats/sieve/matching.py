"""Match types (RFC 5228 §2.7.1, RFC 5231, draft-ietf-sieve-regex): if one of some values matches a key."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from veredus.formats.sieve.comparators import COMPARATORS, DEFAULT, Comparator
from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.regex import REGEX, WEIGHT, compile_regex
from veredus.formats.sieve.wildcard import Wildcard

if TYPE_CHECKING:
    from veredus.formats.sieve.signature import Arguments
    from veredus.formats.sieve.state import Run
    from veredus.formats.sieve.texts import Texts

# Trait of the tests that compare, and groups of their tags.
MATCHING = "matching"
MATCH_TYPE = "match-type"

RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt, "ge": operator.ge, "lt": operator.lt, "le": operator.le,
    "eq": operator.eq, "ne": operator.ne,
}  # fmt: skip
_STEP = 100_000  # characters compared for one step
_VALUE = 16  # characters that a value counts for besides its own
_REGEX_STEP = 25  # size of what of regular expressions is compiled for one step

Values = Sequence[str]
# Pays for a regular expression, by its size.
Charge = Callable[[int], None]
Matcher = Callable[["Run", Values], bool]


class _Asked(NamedTuple):
    """What the tags of a test ask for. ``keeps``: whether ${1} and so on are set."""

    comparator: Comparator
    relation: str
    keeps: bool


class _Prepared(NamedTuple):
    """Keys ready to be looked for; ``weight``: what a character of a value may cost."""

    match: Matcher
    weight: int


def matcher(args: Arguments, at: int, *, captures: bool = True) -> Matcher:
    """The match that the tags of a test ask for, with the keys in its positional argument ``at``.

    ``captures``: whether it sets ${1} and so on. SieveError for a key that cannot work.
    """
    comparator = _comparator(args)
    kind = args.choices.get(MATCH_TYPE, "is")
    relation = _relation(args, kind) if kind in ("value", "count") else ""
    if kind in ("contains", "matches", "regex") and not comparator.has_substrings:
        raise args.error(f":{kind} does not go with the comparator {comparator.name}", kind)
    asked = _Asked(comparator, relation, captures and "variables" in args.compiler.required)
    kind_of_match, texts = _KINDS[kind], args.texts(at)

    def prepare(keys: Sequence[str], charge: Charge) -> _Prepared:
        return kind_of_match(keys, asked, charge)

    if texts.constant is None:
        return _varying(prepare, texts)
    try:
        return _paying(prepare(texts.constant, args.compiler.charge_regex))
    except ValueError as error:
        raise args.error(str(error), at) from None


def _comparator(args: Arguments) -> Comparator:
    if not args.has("comparator"):
        return DEFAULT
    name = args.constant("comparator", "the comparator")
    if name not in COMPARATORS:
        raise args.error(f'there is no comparator "{name}" here', "comparator")
    args.compiler.check_capability(
        f"comparator-{name}", f'the comparator "{name}"', args.places["comparator"]
    )
    return COMPARATORS[name]


def _relation(args: Arguments, kind: str) -> str:
    relation = args.constant(kind, "the relation").lower()
    if relation not in RELATIONS:
        raise args.error(f'there is no relation "{relation}"; there are {", ".join(RELATIONS)}', kind)
    return relation


def _paying(prepared: _Prepared) -> Matcher:
    match, weight = prepared

    def pay_and_match(run: Run, values: Values) -> bool:
        cost = (sum(map(len, values)) + _VALUE * len(values)) * weight // _STEP
        if cost:
            run.step(cost)
        return match(run, values)

    return pay_and_match


def _varying(prepare: Callable[[Sequence[str], Charge], _Prepared], texts: Texts) -> Matcher:
    def prepare_and_match(run: Run, values: Values) -> bool:
        keys = texts.of(run)
        run.step(len(keys) // 8)
        try:
            prepared = prepare(keys, lambda size: run.step(size // _REGEX_STEP))
        except ValueError as error:
            raise RunError(str(error)) from None
        return _paying(prepared)(run, values)

    return prepare_and_match


# ---------------------------------------------------------------- the kinds


def _is(keys: Sequence[str], asked: _Asked, charge: Charge) -> _Prepared:
    key = asked.comparator.key
    wanted = frozenset(map(key, keys))
    return _Prepared(lambda run, values: not wanted.isdisjoint(map(key, values)), 1)


def _contains(keys: Sequence[str], asked: _Asked, charge: Charge) -> _Prepared:
    key = asked.comparator.key
    wanted = tuple(map(key, keys))

    def match(run: Run, values: Values) -> bool:
        for value in values:
            folded = key(value)
            for part in wanted:
                if part in folded:
                    return True
        return False

    return _Prepared(match, len(wanted))


def _matches(keys: Sequence[str], asked: _Asked, charge: Charge) -> _Prepared:
    key = asked.comparator.key
    patterns = [Wildcard(key(pattern)) for pattern in keys]

    def match(run: Run, values: Values) -> bool:
        for value in values:
            folded = key(value)
            for pattern in patterns:
                found = pattern.match(folded)
                if found is not None:
                    if asked.keeps:
                        whole = value if len(value) == len(folded) else folded
                        run.scope.groups = (whole, *(whole[start:end] for start, end in found))
                    return True
        return False

    return _Prepared(match, sum(pattern.weight for pattern in patterns))


def _regex(keys: Sequence[str], asked: _Asked, charge: Charge) -> _Prepared:
    folds_case = asked.comparator.name != "i;octet"
    patterns = []
    for pattern in keys:
        patterns.append(compile_regex(pattern, folds_case=folds_case))
        charge(patterns[-1].programsize + REGEX)

    def match(run: Run, values: Values) -> bool:
        for value in values:
            for pattern in patterns:
                found = pattern.search(value)
                if found is not None:
                    if asked.keeps:
                        run.scope.groups = (found[0], *(group or "" for group in found.groups()))
                    return True
        return False

    return _Prepared(match, sum(WEIGHT * pattern.programsize for pattern in patterns))


def _value(keys: Sequence[str], asked: _Asked, charge: Charge) -> _Prepared:
    key, compare = asked.comparator.key, RELATIONS[asked.relation]
    wanted = tuple(map(key, keys))
    return _Prepared(
        lambda run, values: any(compare(key(value), other) for value in values for other in wanted),
        len(wanted),
    )


def _count(keys: Sequence[str], asked: _Asked, charge: Charge) -> _Prepared:
    key, compare = asked.comparator.key, RELATIONS[asked.relation]
    wanted = tuple(map(key, keys))

    def match(run: Run, values: Values) -> bool:
        count = key(str(len(values)))
        return any(compare(count, other) for other in wanted)

    return _Prepared(match, 1)


_KINDS: dict[str, Callable[[Sequence[str], _Asked, Charge], _Prepared]] = {
    "is": _is,
    "contains": _contains,
    "matches": _matches,
    "regex": _regex,
    "value": _value,
    "count": _count,
}
