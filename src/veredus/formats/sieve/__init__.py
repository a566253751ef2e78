"""Sieve, the language of mail filters (RFC 5228 and its extensions): compiled once, run for each message.

Pure: a message and an environment in, actions as values out. Nothing here does I/O.
"""

from veredus.formats.sieve.compiling import compile
from veredus.formats.sieve.environment import Environment, Location, Mailboxes, NoMailboxes
from veredus.formats.sieve.errors import SieveError
from veredus.formats.sieve.extensions.table import EXTENSIONS
from veredus.formats.sieve.limits import Limits
from veredus.formats.sieve.mailto import Mailto, mailto
from veredus.formats.sieve.outcome import (
    Action,
    Discard,
    Duplicate,
    FileInto,
    Keep,
    Notify,
    Outcome,
    Redirect,
    Reject,
    Vacation,
)
from veredus.formats.sieve.running import run
from veredus.formats.sieve.script import Script

__all__ = [
    "EXTENSIONS",
    "Action",
    "Discard",
    "Duplicate",
    "Environment",
    "FileInto",
    "Keep",
    "Limits",
    "Location",
    "Mailboxes",
    "Mailto",
    "NoMailboxes",
    "Notify",
    "Outcome",
    "Redirect",
    "Reject",
    "Script",
    "SieveError",
    "Vacation",
    "compile",
    "mailto",
    "run",
]
