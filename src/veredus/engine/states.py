"""State strings (RFC 8620 §5.1): a modseq in decimal."""

from veredus.wire.errors import MethodError


def parse_state(state: str) -> int:
    """The modseq of a state string; raises cannotCalculateChanges for one we never gave out."""
    if not (state.isascii() and state.isdigit() and len(state) <= 18):
        raise MethodError.cannot_calculate_changes()
    return int(state)
