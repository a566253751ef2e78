"""``compile``: a script's text with every extension there is."""

from veredus.formats.sieve.compiler import Compiler
from veredus.formats.sieve.extensions.table import CATALOGUE
from veredus.formats.sieve.lexer import Source
from veredus.formats.sieve.limits import Limits
from veredus.formats.sieve.script import Script

_LIMITS = Limits()


def compile(text: str, limits: Limits = _LIMITS) -> Script:
    """A script ready to run. SieveError, with its line and column, for what is wrong with it."""
    return Compiler(Source(text), limits, CATALOGUE).script()
