"""Whatever the arguments, a method answers them or says what is wrong; it never fails (RFC 8620 §3.9)."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jmap import Jmap, message

pytestmark = pytest.mark.rfc("8620", "3.9")

WORDS = st.sampled_from(
    "x # #x keywords/x mailboxIds/x $seen AND NOT name title i;unicode-casemap data:asText header:From:asDate"
    " 2026-01-01T00:00:00Z text/plain * null ~ ids/0 inbox sortOrder hasKeyword".split()
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
)
TEXTS = WORDS | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def argument_names(type: Any) -> list[str]:
    return [name for name in getattr(type, "__struct_encode_fields__", ()) if name != "accountId"]


def of(names: list[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the arguments, and now and then one that there is not."""
    known = st.sampled_from([*names, "nope"] if names else ["nope"])
    return st.dictionaries(known, values, max_size=4)


def shaped(jmap: Jmap) -> st.SearchStrategy[Any]:
    """Values that get past the first checks: patches, filters, sorts, ids of what is there."""
    types = jmap.app.registry.types.values()
    names = sorted({name for type in types for name in (*type.properties, *type.filters, *type.sorts)})
    property = st.sampled_from(names)
    record = st.dictionaries(property | TEXTS, JSON, max_size=4)
    condition = st.dictionaries(property, JSON, max_size=2)
    operator = st.fixed_dictionaries(
        {"operator": st.sampled_from(["AND", "OR", "NOT"]), "conditions": st.lists(condition, max_size=3)}
    )
    comparator = st.fixed_dictionaries(
        {"property": property}, optional={"isAscending": JSON, "keyword": JSON}
    )
    of_ids = st.dictionaries(st.sampled_from(["k", "nope", "inbox", "octets", "#k"]), record, max_size=2)
    return st.one_of(
        JSON,
        record,
        condition,
        operator,
        of_ids,
        st.lists(comparator, max_size=2),
        st.lists(TEXTS | property, max_size=3),
    )


@settings(max_examples=2500, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_no_arguments_make_a_method_fail(jmap: Jmap, data: st.DataObject) -> None:
    if not (await jmap.call("Email/query"))["ids"]:
        await jmap.import_email(message())
    methods = jmap.app.registry.methods
    values = shaped(jmap)
    calls = []
    for name in data.draw(st.lists(st.sampled_from(sorted(methods)), min_size=1, max_size=8)):
        arguments = data.draw(of(argument_names(methods[name].arguments), values))
        calls.append((name, arguments))
    for (name, arguments), response in zip(calls, await first_responses(jmap, calls), strict=True):
        assert response[1].get("type") != "serverFail" or response[0] != "error", (name, arguments, response)


async def first_responses(jmap: Jmap, calls: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    found: dict[str, Any] = {}
    for response in await jmap.responses(*calls):
        if response[2] not in found or response[1].get("type") == "serverFail":
            found[response[2]] = response
    return list(found.values())
