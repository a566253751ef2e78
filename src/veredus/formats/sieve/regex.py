"""Patterns of ``:regex`` (draft-ietf-sieve-regex): POSIX extended expressions, matched by RE2 in linear time.

Python's own ``re`` takes exponential time for patterns such as ``(a+)+b``; RE2 has no backtracking, and
bounds the memory of a pattern when it is compiled. Without the library the extension is not there.
"""

from functools import lru_cache
from typing import Any

try:
    import re2  # type: ignore[import-untyped,import-not-found,unused-ignore]
except ImportError:  # there are no wheels for some platforms
    re2 = None

AVAILABLE = re2 is not None
_LONGEST = 2048
_MAX_MEMORY = 1024 * 1024
# Of a character for each instruction: if its states are too many to remember, RE2 goes through them all.
WEIGHT = 3
# Instructions that any expression takes as long to compile as; and the most that one may have.
REGEX = 50
_MAX_INSTRUCTIONS = 4000


@lru_cache(maxsize=256)
def compile_regex(pattern: str, *, folds_case: bool) -> Any:
    """The pattern, ready for ``search``. ValueError, with a text for the user, if it is none."""
    if len(pattern) > _LONGEST:
        raise ValueError(f"the regular expression is longer than {_LONGEST} characters")
    options = re2.Options()
    options.posix_syntax = True
    options.longest_match = True
    options.one_line = False
    options.case_sensitive = not folds_case
    options.max_mem = _MAX_MEMORY
    options.log_errors = False
    options.perl_classes = True
    options.word_boundary = True
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        text = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error.args[0]
        raise ValueError(f"bad regular expression: {text}") from None
    if compiled.programsize > _MAX_INSTRUCTIONS:
        raise ValueError("this regular expression repeats too much")
    return compiled
