"""The one error of this package."""

from collections.abc import Sequence


class ConfigError(Exception):
    """Everything that is wrong with the settings, one line per problem, each naming its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)
