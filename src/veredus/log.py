"""How log lines are written. Parts call ``structlog.get_logger()``; only `app` and `cli` set it up, here."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal, TextIO

import msgspec
import structlog

Format = Literal["auto", "text", "json"]
Level = Literal["debug", "info", "warning", "error"]


def configure(
    format: Format = "auto", level: Level = "info", stream: TextIO | None = None, *, worker: int | None = None
) -> None:
    """Log to ``stream`` (standard error): text on a terminal, else JSON lines.

    What other libraries log through `logging` is written in the same form. May be called again.
    ``worker``: of several processes, which this is; said in each line.
    """
    stream = stream or sys.stderr
    as_text = format == "text" or (format == "auto" and stream.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared = _processors(as_text, worker)
    renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty()) if as_text else _render_json
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        # A line in one piece: print() would write its end apart, and several processes may share a log.
        logger_factory=structlog.WriteLoggerFactory(stream),
        # A logger fetched at import is bound at its first line, and must notice a second configure().
        cache_logger_on_first_use=False,
    )
    _configure_standard(stream, threshold, shared, renderer)


def _processors(as_text: bool, worker: int | None) -> list[structlog.typing.Processor]:
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if as_text else "iso", utc=not as_text),
    ]
    if worker is not None:
        processors.append(_signature(worker))
    if not as_text:  # the console renderer writes a traceback of its own, better to read
        processors.append(structlog.processors.format_exc_info)
    return processors


def _signature(worker: int) -> structlog.typing.Processor:
    def sign(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["worker"] = worker
        return event

    return sign


def _configure_standard(
    stream: TextIO,
    threshold: int,
    shared: list[structlog.typing.Processor],
    renderer: structlog.typing.Processor,
) -> None:
    """uvicorn and asyncio use `logging`: one handler, the same lines."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))  # the debug lines of libraries drown ours


def _render_json(logger: Any, method: str, event: Mapping[str, Any]) -> str:
    """One line of JSON. What is neither JSON nor known to msgspec is written as text, never an error."""
    return _encoder.encode(event).decode()


_encoder = msgspec.json.Encoder(enc_hook=str)
