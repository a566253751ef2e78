"""How far an import or export is: a bar for a person, JSON lines for a program."""

import json
import sys
import time
from types import TracebackType
from typing import Any, Protocol

import typer


class Progress(Protocol):
    """A context manager that is told what happens."""

    failed: int

    def __enter__(self) -> "Progress": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def advance(self, amount: int, counts: dict[str, int]) -> None:
        """``amount`` more of the total is done; ``counts`` so far."""
        ...

    def failure(self, where: str, reason: str) -> None:
        """One message could not be transferred."""
        ...


def progress(total: int, *, is_octets: bool) -> Progress:
    """A bar on a terminal; otherwise a line a second and one for each failure on standard output."""
    return Bar(total, is_octets) if sys.stderr.isatty() and sys.stdout.isatty() else Lines(total)


class Lines:
    """``{"done": …, "total": …, "imported": …}``, ``{"failed": where, "reason": …}``."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._counts = total, 0, dict[str, int]()
        self._told_at = time.monotonic()
        self.failed = 0

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        self._tell()

    def advance(self, amount: int, counts: dict[str, int]) -> None:
        self._done += amount
        self._counts = counts
        if time.monotonic() - self._told_at >= 1:
            self._tell()

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        _write({"done": self._done, "total": self._total, **self._counts, "failures": self.failed})

    def failure(self, where: str, reason: str) -> None:
        self.failed += 1
        _write({"failed": where, "reason": reason})


def _write(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape"))


class Silent:
    """Tells nothing."""

    failed = 0

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None: ...

    def advance(self, amount: int, counts: dict[str, int]) -> None: ...

    def failure(self, where: str, reason: str) -> None:
        self.failed += 1


class Bar:
    """rich's bar on standard error, and above it a line for each failure."""

    def __init__(self, total: int, is_octets: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        amount = DownloadColumn(binary_units=True) if is_octets else MofNCompleteColumn()
        self._bar = RichProgress(
            BarColumn(), amount, TextColumn("{task.fields[counts]}"), TimeRemainingColumn(),
            console=Console(stderr=True),
        )  # fmt: skip
        self._task = self._bar.add_task("", total=total, counts="")
        self._total = total
        self.failed = 0

    def __enter__(self) -> "Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def advance(self, amount: int, counts: dict[str, int]) -> None:
        text = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        self._bar.update(self._task, advance=amount, counts=text)

    def failure(self, where: str, reason: str) -> None:
        self.failed += 1
        self._bar.console.print(f"{where}: {reason}", style="red", markup=False, highlight=False)


_: tuple[type[Progress], ...] = (Lines, Silent, Bar)
