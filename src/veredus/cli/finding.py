"""What `veredus doctor` finds."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and how it is. ``text`` ends in a remedy unless all is well."""

    name: str
    level: Literal["ok", "warning", "problem"]
    text: str
