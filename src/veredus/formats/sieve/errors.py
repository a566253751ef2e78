"""What is wrong with a script, and what goes wrong while it runs."""


class SieveError(Exception):
    """The script is not valid. ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.message = message
        self.line = line
        self.column = column


class RunError(Exception):
    """A script cannot go on (RFC 5228 §2.10.6). Never leaves this package: ``run`` makes it Outcome.error."""
