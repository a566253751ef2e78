"""Comments in structured header fields (RFC 5322 §3.2.2): nested, with quoted pairs."""

import re

_EDGE = re.compile(r"[()\\]")
_OUTSIDE = re.compile(r'[("\\]')
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def comment_end(text: str, start: int) -> int:
    """Index just after the comment that opens at ``start``; -1 if it is never closed."""
    depth = 0
    position = start
    while match := _EDGE.search(text, position):
        position = match.end()
        mark = match.group()
        if mark == "(":
            depth += 1
        elif mark == "\\":
            position += 1
        else:
            depth -= 1
            if depth == 0:
                return position
    return -1


def strip_comments(text: str) -> str:
    """``text`` with each comment outside quoted strings replaced by a space; an unclosed one stays."""
    if "(" not in text:
        return text
    out = []
    kept = position = 0
    while match := _OUTSIDE.search(text, position):
        position = match.end()
        if match.group() == "\\":
            position += 1
        elif match.group() == '"':
            quoted = _QUOTED.match(text, match.start())
            if quoted is None:
                break
            position = quoted.end()
        else:
            end = comment_end(text, match.start())
            if end < 0:
                break
            out.append(text[kept : match.start()])
            out.append(" ")
            kept = position = end
    out.append(text[kept:])
    return "".join(out)
