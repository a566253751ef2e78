"""The measured part of docs/benchmarks.md."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

# CPU seconds per 1,000 operations to reach, by workload.
TARGETS = {
    "core_echo": 0.2, "session_get": 0.2, "mailbox_get_all": 0.4, "query50_inbox": 0.35,
    "list50_inbox": 0.6, "first_screen_collapsed": 1.0, "email_get_50_meta": 0.5, "email_get_full": 0.5,
    "thread_get_emails": 0.5, "search_text": 2.0, "search_text_rare": 0.6, "search_text_list_snippets": 15.0,
    "filter_kw_from_after": 1.0, "changes_noop": 0.25, "resync_10_changed": 0.7, "blob_download_msg": 0.3,
    "blob_upload_10KB": 0.4, "set_keyword_1": 0.6, "set_keyword_50": 3.0, "move_1": 0.9,
    "email_import_1": 2.0, "email_create_draft": 2.0, "lmtp_delivery": 2.0,
}  # fmt: skip


def write(ours: dict[str, Any], cyrus: dict[str, Any], messages: int, *, same_run: bool) -> None:
    """Replace what stands between the marks; print it, too."""
    parts = [machine(ours), *_workloads(ours, cyrus, messages, same_run), *_others(ours), *_million(ours)]
    measured = "\n".join([BEGIN, *parts, END])
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + measured + rest.partition(END)[2])
    print(measured)
    print(f"wrote {PAGE.relative_to(ROOT)}")


def machine(ours: dict[str, Any]) -> str:
    """When and on what it was measured."""
    host = ours.get("host", {})
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "?")
    return f"Measured {host.get('time')}: {os.cpu_count()} CPUs ({model}), Python {host.get('python')}."


# ------------------------------------------------------------ the harness


def _workloads(ours: dict[str, Any], cyrus: dict[str, Any], messages: int, same_run: bool) -> Iterator[str]:
    cells = _cells(ours)
    if not cells:
        return
    when = (
        "measured in the same run" if same_run else f"the record that came with it ({cyrus['host']['time']})"
    )
    yield f"""
## The workloads of the harness

{messages:,} messages. CPU seconds of the server's processes per 1,000 operations, with 8 clients if nothing else is said;
in bold what misses the aim. Cyrus: {when}. Rates and latencies are those with 8 clients. flushes: of the disk's cache,
for each operation. busy: the share of the machine that others used meanwhile; over 0.15 trust CPU more than rates.

| workload | aim | Veredus | 1 client | 32 clients | Cyrus | Cyrus / Veredus | ops/s | Cyrus | p50 / p99 ms | flushes | Cyrus | busy |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""  # noqa: E501
    theirs = _cells(cyrus)
    for name in sorted({name for name, _ in cells}, key=_rank):
        yield _row(name, cells, theirs)
    failed = [cell for cell in cells.values() if cell["errors"]]
    for cell in failed:
        yield f"\n{cell['errors']} of {cell['name']} (c={cell['conc']}) failed: `{cell.get('first_error')}`"
    for seed in ours.get("seed", {}).values():
        yield (
            "\nFilling the account by upload and Email/import, 25 at a time: "
            f"{seed['overall_per_s']:.0f} messages/s, {seed['server_cpu_s_per_1000']:.2f} CPU s per 1,000."
        )


def _cells(results: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
    return {
        (cell["name"], cell["conc"]): cell
        for cell in results.get("results", ())
        if not cell.get("tag") and cell["cpu_s_per_1000"] is not None
    }


def _rank(name: str) -> tuple[int, str]:
    order = list(TARGETS)
    return (order.index(name) if name in order else len(order), name)


def _row(name: str, ours: dict[tuple[str, int], Any], theirs: dict[tuple[str, int], Any]) -> str:
    def of(cells: dict[tuple[str, int], Any], key: str, clients: int = 8, digits: int = 2) -> str:
        value = cells.get((name, clients), {}).get(key)
        return "" if value is None else f"{value:.{digits}f}"

    aim = TARGETS.get(name)
    cpu, cyrus = of(ours, "cpu_s_per_1000"), of(theirs, "cpu_s_per_1000")
    ratio = f"{float(cyrus) / float(cpu):.1f}" if cpu and cyrus and float(cpu) else ""
    if cpu and aim is not None and float(cpu) > aim:
        cpu = f"**{cpu}**"
    cells = [
        name, "" if aim is None else f"{aim:g}",
        cpu, of(ours, "cpu_s_per_1000", 1), of(ours, "cpu_s_per_1000", 32),
        cyrus, ratio, of(ours, "ops_s", digits=0), of(theirs, "ops_s", digits=0),
        f"{of(ours, 'p50_ms')} / {of(ours, 'p99_ms', digits=1)}",
        of(ours, "flushes_per_op"), of(theirs, "flushes_per_op"), of(ours, "bg"),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


# ------------------------------------------------------------ the others


def _others(ours: dict[str, Any]) -> Iterator[str]:
    rows = [*_rates(ours), *_memory(ours), *_parser(ours)]
    if rows:
        yield "\n## Rates, memory, parser\n\n| what | aim | measured |\n|---|--:|--:|"
        yield from (f"| {what} | {aim} | {value} |" for what, aim, value in rows)


def _rates(ours: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    cell = _cells(ours).get(("set_keyword_1", 32))
    if cell:
        yield "durable changes of one keyword with 32 clients, /s", ">= 1,500", f"{cell['ops_s']:,.0f}"
        yield "... flushes of the disk for each", "", f"{cell['flushes_per_op']:.2f}"
    done = ours.get("own", {}).get("import")
    if done:
        what = (
            f"`veredus import eml` of {done['messages']:,} files ({done['octets'] / 1e6:.0f} MB), messages/s"
        )
        yield what, ">= 300", f"{done['per_s']:.0f}"
        yield "... CPU of all its processes, ms a message", "", f"{done['cpu_ms_per_message']:.2f}"
        yield "... share of the machine that others used", "", f"{done['busy']:.2f}"
        yield "... stored, MB", "", f"{done['stored_octets'] / 1e6:.0f}"


def _memory(ours: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    found = ours.get("own", {}).get("memory")
    if found:
        yield "resident memory after all workloads, MB", "< 200", f"{found['rss_mb']:.0f}"
        yield "... at its peak, MB", "< 200", f"{found['peak_mb']:.0f}"


def _parser(ours: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    found = ours.get("own", {}).get("mime")
    if found:
        mail = (
            f"{found['messages']} real messages of shared/corpus/mail ({found['mean_octets'] / 1000:.1f} kB)"
        )
        yield f"MIME parser, ms of CPU for each of {mail}", "<= 0.4", f"{found['parse']:.3f}"
        yield "... with all stored properties of an Email", "", f"{found['describe']:.3f}"
        yield "... with the text for the search, too", "", f"{found['texts']:.3f}"


def _million(ours: dict[str, Any]) -> Iterator[str]:
    found = ours.get("own", {}).get("million")
    if not found:
        return
    yield """
## A million messages in one account

Both accounts in one database, 30 % of the mail in the inbox, measured in turns with 8 clients.
The aim for the list view: a ratio of at most 1.2.

| workload | CPU s per 1,000 at 10,000 | at 1,000,000 | ratio | p50 / p99 ms at 10,000 | at 1,000,000 |
|---|--:|--:|--:|--:|--:|"""
    for name, of in found.items():
        small, large = of["tenk"], of["million"]
        ratio = large["cpu_s_per_1000"] / small["cpu_s_per_1000"]
        times = [f"{one['p50_ms']:.2f} / {one['p99_ms']:.1f}" for one in (small, large)]
        yield (
            f"| {name} | {small['cpu_s_per_1000']:.2f} | {large['cpu_s_per_1000']:.2f} | {ratio:.2f} "
            f"| {' | '.join(times)} |"
        )
