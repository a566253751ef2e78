"""Phrases in the normalized full text, by the index of words and pairs of words, or in the text itself."""

import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

from veredus.conditions import Text
from veredus.formats.search import Phrase
from veredus.store.postgres.schema import Layout

# Phrases that are looked up in the index. Texts that have so many are few, and searched for the others.
_LOOKED_UP = 16

Bind: TypeAlias = Callable[[Any], str]


def can_be_found(layout: Layout, where: Text) -> bool:
    """Whether some text can have the phrases. Raises ValueError for fields that the table does not have."""
    unknown = set(where.fields) - set(layout.table.texts)
    if unknown:
        raise ValueError(f"{layout.name} has no text fields {sorted(unknown)}")
    return bool(where.fields) and all(where.phrases) and layout.txt is not None


def found(layout: Layout, where: Text, alias: str, bind: Bind) -> str:
    """The condition on a row of ``txt`` that its index of words answers.

    Not also that of its key: all rows of the account are more than those with the words.
    """
    tests = [_found(layout, where.fields, phrase, alias, bind) for phrase in where.phrases[:_LOOKED_UP]]
    if len(where.phrases) > _LOOKED_UP:
        tests.append(_read(layout, where.fields, where.phrases[_LOOKED_UP:], alias, bind))
    return " AND ".join([*tests, f"{alias}.a + 0 = $1"])


def _found(layout: Layout, fields: tuple[str, ...], phrase: Phrase, alias: str, bind: Bind) -> str:
    words = layout.words(f"{alias}.")
    numbers = {field: number for number, field in enumerate(layout.texts)}
    terms = _terms(phrase)
    if len(terms) == 1:
        term = bind(terms[0])
        hashes = ", ".join(f"term_of($1, {numbers[field]}, {term})" for field in fields)
        return f"({words}) && ARRAY[{hashes}]"
    each = f"unnest({bind(terms)}::text[]) term"
    tests = [
        f"({words}) @> (SELECT array_agg(term_of($1, {numbers[field]}, term)) FROM {each})"
        f" AND {_read(layout, (field,), (phrase,), alias, bind)}"
        for field in fields
    ]
    return "(" + " OR ".join(tests) + ")"


def _terms(phrase: Phrase) -> list[str]:
    """What the index has of the phrase: the rarest, pairs of words, where it has several words."""
    if len(phrase) == 1:
        return list(phrase)
    return [" ".join(pair) for pair in itertools.pairwise(phrase)]


def read(layout: Layout, where: Text, alias: str, bind: Bind) -> str:
    """The same, found out by reading the text."""
    return _read(layout, where.fields, where.phrases, alias, bind)


def _read(
    layout: Layout, fields: tuple[str, ...], phrases: tuple[Phrase, ...], alias: str, bind: Bind
) -> str:
    """All phrases are one value, so that many of them are not a long statement."""
    wanted = bind([f" {' '.join(phrase)} " for phrase in phrases])
    somewhere = " OR ".join(
        f"strpos(' ' || {alias}.{layout.texts[field]} || ' ', phrase) > 0" for field in fields
    )
    return f"(SELECT bool_and(coalesce({somewhere}, false)) FROM unnest({wanted}::text[]) AS phrase)"
