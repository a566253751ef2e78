"""What reading a configuration raises, and where problems are gathered so that one run tells them all.

ConfigError   the file cannot be used, and why
SecretError   a secret that the settings refer to cannot be read
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


class ConfigError(Exception):
    """``problems`` each name their key. The text is one line that names the file, too."""

    def __init__(self, path: Path, problems: Sequence[str], *, doing: str = "invalid config") -> None:
        super().__init__(f"{doing} {path}: {'; '.join(problems)}")
        self.path = path
        self.problems = list(problems)


class SecretError(ValueError):
    """The text names the file or the variable, and never what is in it."""


@dataclass(slots=True)
class Findings:
    """What was noticed in one file. A problem makes it unusable; a warning does not."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
