"""The order in which the records of a /set call are created: what others refer to first (RFC 8620 §5.3)."""

from collections.abc import Mapping

from veredus.schema import DataType, Draft
from veredus.wire.topological import ordered


def creation_order(type: DataType, drafts: Mapping[str, Draft]) -> list[str]:
    """Creation ids, each after those that its record refers to; those in a circle as they come."""
    return ordered(drafts, lambda key: _mentioned(type, drafts[key]))


def _mentioned(type: DataType, draft: Draft) -> list[str]:
    """The creation ids in a record."""
    found: list[str] = []

    def note(reference: str) -> str:
        found.append(reference[1:])
        return reference

    given = draft.given if draft.record is None else draft.record
    for name, prop in type.properties.items():
        if prop.refers and name in given:
            prop.replace_ids(given[name], note)
    return found
