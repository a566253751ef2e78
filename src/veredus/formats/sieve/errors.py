"""What is wrong with a script, and what goes wrong while it runs."""

_LONGEST = 300


def sentence(text: str) -> str:
    """``text``, with whatever it quotes of a script, as one line that is not too long to read."""
    line = " ".join(text[: 2 * _LONGEST].split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


class SieveError(Exception):
    """The script is not valid. ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, line: int, column: int) -> None:
        self.message = sentence(message)
        super().__init__(f"line {line}, column {column}: {self.message}")
        self.line = line
        self.column = column


class RunError(Exception):
    """A script cannot go on (RFC 5228 §2.10.6). Never leaves this package: ``run`` makes it Outcome.error."""
