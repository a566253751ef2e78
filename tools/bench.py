"""`make bench`: measures a fresh server with the load harness beside the clone, and writes docs/benchmarks.md.

The harness (shared/bench) speaks JMAP over HTTP and LMTP from a process of its own and counts the CPU
seconds of the server's. Cyrus's figures come with it; with --cyrus FILE those of another run are taken,
made on the same machine with the script of the harness.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BENCH = Path(os.environ.get("VEREDUS_SHARED", ROOT.parent / "shared")) / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
USERS = ("bench0", "lmtp0")

# CPU seconds per 1,000 operations to reach, by workload.
TARGETS = {
    "core_echo": 0.2, "session_get": 0.2, "mailbox_get_all": 0.4, "query50_inbox": 0.35, "list50_inbox": 0.6,
    "first_screen_collapsed": 1.0, "email_get_50_meta": 0.5, "email_get_full": 0.5, "thread_get_emails": 0.5,
    "search_text": 2.0, "search_text_rare": 0.6, "search_text_list_snippets": 15.0, "filter_kw_from_after": 1.0,
    "changes_noop": 0.25, "resync_10_changed": 0.7, "blob_download_msg": 0.3, "blob_upload_10KB": 0.4,
    "set_keyword_1": 0.6, "set_keyword_50": 3.0, "move_1": 0.9, "email_import_1": 2.0, "email_create_draft": 2.0,
    "lmtp_delivery": 2.0,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--duration", type=float, default=3.0, help="seconds per workload and concurrency")
    parser.add_argument("--concurrency", default="1,8,32")
    parser.add_argument("--only", help="workloads, separated by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--cyrus", type=Path, default=BENCH / "results" / "cyrus-3.6.1.json")
    parser.add_argument("--keep", type=Path, help="a data directory to use and keep")
    args = parser.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"make bench: needs the harness in {BENCH} (or VEREDUS_SHARED)")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        data = args.keep or Path(temporary) / "data"
        with _server(data) as pid:
            _measure(args, pid)
    results = json.loads(args.out.read_text())
    _write_page(results, json.loads(args.cyrus.read_text()), args)


@contextmanager
def _server(data: Path) -> Iterator[int]:
    """A server with accounts on ports of its own; gives its process id."""
    data.mkdir(parents=True, exist_ok=True)
    config = data / "bench.toml"
    config.write_text(
        f'data_dir = "{data}"\n'
        '[http]\nlisten = ["127.0.0.1:18080"]\n[lmtp]\nlisten = ["127.0.0.1:12003"]\n'
        "[limits]\nmax_concurrent_requests = 64\nmax_concurrent_upload = 64\n"
    )
    veredus = [sys.executable, "-m", "veredus", "--config", str(config)]
    for user in USERS:
        add = [*veredus, "account", "add", f"{user}@localhost", "--password-stdin"]
        subprocess.run(add, input=b"benchpw\n", check=not args_keep(data), stdout=subprocess.DEVNULL)  # noqa: S603
    with (data / "server.log").open("wb") as log:
        process = subprocess.Popen([*veredus, "serve"], stdout=log, stderr=log)  # noqa: S603
        try:
            time.sleep(2)
            if process.poll() is not None:
                sys.exit(f"the server ended: see {data / 'server.log'}")
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


def args_keep(data: Path) -> bool:
    """Whether the accounts are there from an earlier run."""
    return (data / "veredus.db").exists()


def _measure(args: argparse.Namespace, pid: int) -> None:
    common = ["--url", "http://127.0.0.1:18080/.well-known/jmap", "--pid", str(pid), "--password", "benchpw"]
    common += ["--out", str(args.out), "--label", "Veredus", "--max-bg", "1.0"]
    user = ["--user", "bench0@localhost"]
    only = ["--only", args.only] if args.only else []
    seeded = "bench0@localhost" in json.loads(args.out.read_text()).get("seed", {}) if args.out.exists() else False
    if not (args.keep and seeded):
        _harness("seed", *common, *user, "--messages", str(args.messages))
    _harness(
        "run", *common, *user, *only, "--concurrency", args.concurrency,
        "--duration", str(args.duration), "--retries", "0",
    )  # fmt: skip
    if not args.only or "lmtp_delivery" in args.only:
        _harness(
            "lmtp", *common, "--lmtp", "127.0.0.1:12003", "--rcpt", "lmtp0@localhost",
            "--messages", "400", "--concurrency", "1,8",
        )  # fmt: skip


def _harness(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "jmapbench", *arguments], cwd=BENCH, check=True)  # noqa: S603


def _cell(results: dict[str, Any], name: str, concurrency: int) -> dict[str, Any] | None:
    for cell in results["results"]:
        if (cell["name"], cell["conc"], cell.get("tag", "")) == (name, concurrency, ""):
            found: dict[str, Any] = cell
            return found
    return None


def _write_page(ours: dict[str, Any], cyrus: dict[str, Any], args: argparse.Namespace) -> None:
    lines = [
        BEGIN,
        f"{args.messages:,} messages; Python {ours['host']['python']}, {ours['host']['time']}. CPU s per 1,000 "
        "operations of the server's processes, at the concurrency named; `bg` is the share of the machine that "
        "others used meanwhile.",
        "",
        "| workload | Cyrus c=8 | to reach | c=1 | c=8 | c=32 | ops/s c=8 | p50 / p99 ms c=8 | RSS MB | bg |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in sorted({cell["name"] for cell in ours["results"]}, key=_rank):
        lines.append(_row(name, ours, cyrus))
    for user, seed in ours.get("seed", {}).items():
        lines += ["", f"Seeding {user}: {seed['messages']} messages ({seed['bytes'] / 1e6:.0f} MB) by upload and "
                  f"Email/import, {seed['overall_per_s']:.0f} messages/s ({seed['import_per_s']:.0f}/s in the imports "
                  f"alone), {seed['server_cpu_s_per_1000']:.2f} CPU s per 1,000."]  # fmt: skip
    lines.append(END)
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    PAGE.write_text(head + "\n".join(lines) + rest.partition(END)[2])
    print(f"wrote {PAGE.relative_to(ROOT)}")


def _rank(name: str) -> tuple[int, str]:
    order = list(TARGETS)
    return (order.index(name) if name in order else len(order), name)


def _row(name: str, ours: dict[str, Any], cyrus: dict[str, Any]) -> str:
    def cpu(results: dict[str, Any], concurrency: int) -> str:
        cell = _cell(results, name, concurrency)
        return f"{cell['cpu_s_per_1000']:.2f}" if cell else "-"

    shown = _cell(ours, name, 8) or _cell(ours, name, 1) or {}
    target = TARGETS.get(name)
    return (
        f"| {name} | {cpu(cyrus, 8)} | {'-' if target is None else target} | {cpu(ours, 1)} | {cpu(ours, 8)} "
        f"| {cpu(ours, 32)} | {shown.get('ops_s', 0):.0f} | {shown.get('p50_ms', 0):.2f} / {shown.get('p99_ms', 0):.1f} "
        f"| {shown.get('rss_mb', 0):.0f} | {shown.get('bg', 0):.2f} |"
    )


if __name__ == "__main__":
    main()
