"""A script that was compiled, ready to run for any number of messages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from veredus.formats.sieve.limits import Limits

if TYPE_CHECKING:
    from veredus.formats.sieve.state import Flow, Run


@dataclass(frozen=True, slots=True)
class Script:
    """``requires``: the capabilities that it names. It holds no state: threads may share it."""

    requires: frozenset[str]
    limits: Limits
    body: "Callable[[Run], Flow | None]"
