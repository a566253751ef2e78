"""The order in which the records of a /set call are created: what others refer to first (RFC 8620 §5.3)."""

from collections.abc import Mapping

from veredus.schema import DataType, Draft


def creation_order(type: DataType, drafts: Mapping[str, Draft]) -> list[str]:
    """Creation ids, each after those that its record refers to; those in a circle as they come."""
    found: dict[str, None] = {}
    entered: set[str] = set()
    stack = list(drafts)[::-1]
    while stack:
        key = stack.pop()
        if key in entered:
            found[key] = None
            continue
        entered.add(key)
        stack.append(key)
        stack.extend(name for name in _mentioned(type, drafts[key]) if name in drafts and name not in entered)
    return list(found)


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
