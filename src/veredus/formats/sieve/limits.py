"""What a script may cost: bounds that hold whatever it says."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one script. Strings are counted in characters.

    ``max_nesting``: blocks and tests within each other. ``max_string``: a string after its variables are put
    in. ``max_variable``: a longer value is cut (RFC 5229 §6). ``max_added_headers``: octets that addheader
    may add. ``max_regex_size``: instructions into which all its regular
    expressions are compiled. ``max_include_depth``: scripts within each other (RFC 6609 §3.1).
    """

    max_size: int = 1024 * 1024
    max_nesting: int = 32
    max_string: int = 256 * 1024
    max_variable: int = 8192
    max_variables: int = 256
    max_added_headers: int = 64 * 1024
    max_regex_size: int = 50_000
    max_include_depth: int = 5
    max_actions: int = 64
