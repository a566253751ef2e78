"""Organizational domains (RFC 7489 §3.2), by the public suffix list that comes with authheaders."""

import importlib.util
from functools import cache
from pathlib import Path

from msgspec import Struct

_LIST = "public_suffix_list.txt"


class Suffixes(Struct, frozen=True):
    """The rules of the list, in A-labels. Below ``wildcards`` all are suffixes, except ``exceptions``."""

    plain: frozenset[str]
    wildcards: frozenset[str]
    exceptions: frozenset[str]

    def organizational(self, domain: str) -> str:
        """The public suffix and one label; a domain that is a suffix itself stays as it is.

        A top-level domain that the list does not know is a suffix.
        """
        labels = domain.lower().removesuffix(".").split(".")
        for at in range(len(labels)):
            name = ".".join(labels[at:])
            if name in self.exceptions:
                return name
            if name in self.plain or ".".join(labels[at + 1 :]) in self.wildcards:
                return ".".join(labels[max(at - 1, 0) :])
        return ".".join(labels[-2:])


@cache
def suffixes() -> Suffixes:
    """The list, read once (30 ms). FileNotFoundError: authheaders is not installed, or has none."""
    package = importlib.util.find_spec("authheaders")
    if package is None or package.origin is None:
        raise FileNotFoundError(_LIST)
    return parse((Path(package.origin).parent / _LIST).read_text(encoding="utf-8"))


def parse(text: str) -> Suffixes:
    """A rule in each line, up to the first white space; comments begin with //."""
    plain, wildcards, exceptions = set(), set(), set()
    for line in text.splitlines():
        rule = line.split()[0] if line.strip() else "//"
        if rule.startswith("//"):
            continue
        rule = rule.lower()
        if not rule.isascii():
            rule = ".".join(map(_a_label, rule.split(".")))
        if rule.startswith("!"):
            exceptions.add(rule[1:])
        elif rule.startswith("*."):
            wildcards.add(rule[2:])
        else:
            plain.add(rule)
    return Suffixes(frozenset(plain), frozenset(wildcards), frozenset(exceptions))


def _a_label(label: str) -> str:
    """The list has its U-labels in the right form already, so that Punycode is all that is missing."""
    return label if label.isascii() else "xn--" + label.encode("punycode").decode()
