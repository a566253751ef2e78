"""Things that refer to one another, in an order in which they can be made (RFC 8620 §5.3)."""

from collections.abc import Callable, Iterable


def ordered(keys: Iterable[str], mentions: Callable[[str], Iterable[str]]) -> list[str]:
    """Each key after those it mentions; those in a circle as they come. Mentions of others are ignored."""
    known = list(keys)
    found: dict[str, None] = {}
    entered: set[str] = set()
    stack = known[::-1]
    members = set(known)
    while stack:
        key = stack.pop()
        if key in entered:
            found[key] = None
            continue
        entered.add(key)
        stack.append(key)
        stack.extend(name for name in mentions(key) if name in members and name not in entered)
    return list(found)
