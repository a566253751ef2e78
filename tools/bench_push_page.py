"""The part of docs/benchmarks.md about push."""

from collections.abc import Iterator
from typing import Any

from tools.bench_page import PAGE, machine

BEGIN, END = "<!-- push: begin -->", "<!-- push: end -->"


def write(ours: dict[str, Any], cyrus: dict[str, Any], *, same_run: bool) -> None:
    """Replace what stands between the marks; print it, too."""
    cells = {(cell["kind"], cell["conns"]): cell for cell in ours.get("push", ())}
    theirs = {(cell["kind"], cell["conns"]): cell for cell in cyrus.get("push", ())}
    when = "measured in the same run" if same_run else "the record that came with the harness"
    lines = [
        BEGIN,
        machine(ours),
        f"\nCyrus: {when}. In bold what misses the aim.\n",
        "| what | aim | Veredus | Cyrus |",
        "|---|--:|--:|--:|",
        *_streams(cells, theirs),
        *_own(ours.get("own", {})),
        END,
    ]
    measured = "\n".join(lines)
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + measured + rest.partition(END)[2])
    print(measured)


def _streams(cells: dict[Any, Any], theirs: dict[Any, Any]) -> Iterator[str]:
    for kind, name, p50, p99 in (("sse", "EventSource", 10, 60), ("ws", "WebSocket", 15, 80)):
        cell, other = cells.get((kind, 1000)), theirs.get((kind, 1000))
        if cell is None:
            continue
        about = f"1,000 {name} subscribers of one account"
        yield _row(
            f"Email/set to StateChange, {about}, p50, ms", p50, cell["p50_ms"], other and other["p50_ms"]
        )
        yield _row("... p99, ms", p99, cell["p99_ms"], other and other["p99_ms"])
        cpu = cell["cpu_ms_per_event"] / cell["opened"]
        theirs_cpu = other and other["cpu_ms_per_event"] / other["opened"]
        yield _row("... CPU for each event and subscriber, ms", 0.05, cpu, theirs_cpu)
        memory = other and other["pss_kb_per_conn"]
        limit = 20 if kind == "sse" else None
        yield _row(f"memory of an idle {name}, kB", limit, cell["rss_kb_per_conn"], memory)
        yield _row(
            f"CPU while 1,000 {name} are idle, % of a core", None, cell["idle_cpu_pct_of_core"],
            other and other["idle_cpu_pct_of_core"],
        )  # fmt: skip
        yield _row("missed", 0, cell["missed"], other and other["missed"])
    many = cells.get(("sse", 10_000))
    if many is not None:
        yield f"| idle streams held by one process | 10,000 | {many['alive']:,} | |"
        yield _row("... memory of each, kB", 20, many["rss_kb_per_conn"], None)
        yield _row("... CPU while all are idle, % of a core", None, many["idle_cpu_pct_of_core"], None)
        yield _row("... told to all of them, p50, ms", None, many["p50_ms"], None)
        yield _row("... p99, ms", None, many["p99_ms"], None)
        yield _row("... missed", 0, many["missed"], None)


def _own(own: dict[str, Any]) -> Iterator[str]:
    if deflate := own.get("deflate"):
        yield _row(
            "memory of an idle WebSocket with permessage-deflate, kB", 80, deflate["kb_per_conn"], None
        )
    if listed := own.get("list"):
        yield _row("`list50_inbox`, CPU ms, no stream open", None, listed["alone"], None)
        yield _row("... while 5,000 streams are open", None, listed["beside"], None)
    if workers := own.get("workers"):
        yield _row("LMTP accepted to StateChange, 2 processes, p50, ms", None, workers["p50_ms"], None)
        yield _row("... p99, ms", 100, workers["p99_ms"], None)
    for name, value in own.get("webpush", {}).items():
        yield f"| web push, deliveries a second of a core's time, {name} | 500 | {value:,.0f} | |"


def _row(what: str, aim: float | None, ours: float, theirs: float | None) -> str:
    shown = f"{ours:.3g}" if ours < 100 else f"{ours:,.0f}"
    if aim is not None and ours > aim:
        shown = f"**{shown}**"
    other = "" if theirs is None else f"{theirs:.3g}" if theirs < 100 else f"{theirs:,.0f}"
    return f"| {what} | {'' if aim is None else aim} | {shown} | {other} |"
