"""All commands, tests and tags by name, with the capabilities of which each needs one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from veredus.formats.sieve.signature import Extension, Spec, Tag

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    value: T
    capabilities: tuple[str, ...]


class Catalogue:
    """What some extensions are together."""

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self.commands: dict[str, Entry[Spec]] = {}
        self.tests: dict[str, Entry[Spec]] = {}
        self.capabilities: set[str] = set()
        self._tags: dict[tuple[str, str], Entry[Tag]] = {}
        for extension in extensions:
            self.capabilities.update(extension.capabilities)
            for specs, entries in ((extension.commands, self.commands), (extension.tests, self.tests)):
                for spec in specs:
                    entries[spec.name] = Entry(spec, extension.capabilities)
                    self._tags.update({(spec.name, tag.name): Entry(tag, ()) for tag in spec.tags})
            for target, tags in extension.tags.items():
                self._tags.update({(target, tag.name): Entry(tag, extension.capabilities) for tag in tags})

    def tag(self, spec: Spec, name: str) -> Entry[Tag] | None:
        for target in (spec.name, *spec.traits):
            if entry := self._tags.get((target, name)):
                return entry
        return None
