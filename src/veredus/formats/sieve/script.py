"""A script that was compiled, ready to run for any number of messages."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from veredus.formats.sieve.limits import Limits


@dataclass(frozen=True, slots=True)
class Script:
    """``requires``: the capabilities that it names. It holds no state: threads may share it.

    ``body``: a ``state.Command``. A Run knows its Environment, and that one knows scripts, so that this type
    cannot know Run.
    """

    requires: frozenset[str]
    limits: Limits
    body: Callable[[Any], Any]
