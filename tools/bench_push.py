"""`make bench-push`: what push costs, and how long it takes; writes its part of docs/benchmarks.md.

The harness (shared/bench, its command ``push``) opens the streams, makes changes and takes the times. With
--cyrus-url and --cyrus-pidfile a Cyrus that runs already, with bench0 in it, is measured in the same run.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tools import bench_push_page, bench_streams
from tools.bench_client import BENCH
from tools.bench_server import LMTP, ROOT, Target, add_accounts, server

PARTS = ("sse", "ws", "idle", "deflate", "list", "workers", "webpush")
SUBSCRIBERS = 1000
IDLE = 10_000
BESIDE = 5000
DELIVERIES = 200


def main() -> None:
    args = _arguments()
    if not BENCH.is_dir():
        sys.exit(f"make bench-push: needs the harness in {BENCH} (or VEREDUS_SHARED)")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cyrus = None
    if args.cyrus_url:
        out = args.out.with_name(f"{args.out.stem}-cyrus.json")
        process = ("--pidfile", str(args.cyrus_pidfile))
        cyrus = Target("Cyrus 3.6.1", args.cyrus_url, "", process, "", out)
    for part in args.parts:
        print(f"=== {part}", flush=True)
        _measure(part, args, cyrus)
    recorded = json.loads((BENCH / "results" / "cyrus-3.6.1.json").read_text())
    theirs = cyrus.results() if cyrus else recorded
    bench_push_page.write(json.loads(args.out.read_text()), theirs, same_run=cyrus is not None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-push", description=__doc__)
    parser.add_argument("--events", type=int, default=20, help="changes for each latency")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure; the rest is kept")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-push.json", help="all results")
    parser.add_argument("--cyrus-url", help="the session URL of a Cyrus with bench0 and EventSource on")
    parser.add_argument("--cyrus-pidfile", type=Path)
    args = parser.parse_args()
    args.parts = args.parts.split(",")
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if (args.cyrus_url is None) != (args.cyrus_pidfile is None):
        parser.error("--cyrus-url and --cyrus-pidfile go together")
    return args


def _measure(part: str, args: argparse.Namespace, cyrus: Target | None) -> None:
    """One part, on a server of its own."""
    if part == "webpush":
        shown = subprocess.run(
            [sys.executable, "-m", "tools.bench_webpush", "--json"], check=True, cwd=ROOT, capture_output=True
        )
        Target("", "", "", ("", ""), "", args.out).note("webpush", json.loads(shown.stdout))
        return
    with ExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        add_accounts(data, ["bench0"])
        workers = ["--workers", "2"] if part == "workers" else []
        ours = stack.enter_context(server(data, args.out, *workers))
        ours.harness("seed", "--user", ours.user("bench0"), "--messages", "200")
        steps: dict[str, Callable[[], None]] = {
            "sse": lambda: _push("sse", args.events, ours, cyrus),
            "ws": lambda: _push("ws", args.events, ours, None),
            "idle": lambda: _idle(ours),
            "deflate": lambda: _note(ours, "deflate", bench_streams.deflate_memory(ours, SUBSCRIBERS)),
            "list": lambda: _note(ours, "list", _list(ours)),
            "workers": lambda: _note(ours, "workers", _workers(ours)),
        }
        steps[part]()


def _note(target: Target, key: str, value: Any) -> None:
    print(key, value, flush=True)
    target.note(key, value)


def _push(kind: str, events: int, ours: Target, cyrus: Target | None) -> None:
    for target in (ours, cyrus):
        if target is not None:
            target.harness(
                "push", "--kind", kind, "--user", target.user("bench0"), "--conns", str(SUBSCRIBERS),
                "--events", str(events),
            )  # fmt: skip


def _idle(ours: Target) -> None:
    ours.harness(
        "push", "--kind", "sse", "--user", ours.user("bench0"), "--conns", str(IDLE), "--events", "5"
    )


def _list(ours: Target) -> dict[str, float]:
    """CPU of the list view in ms, without and with streams that are open and idle; in turns."""
    found: dict[str, list[float]] = {"alone": [], "beside": []}
    for _ in range(3):
        found["alone"].append(_list50(ours))
        command = [sys.executable, "-m", "tools.bench_streams", ours.url, ours.user("bench0"), str(BESIDE)]
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder:
            assert holder.stdin
            assert holder.stdout
            opened = int(holder.stdout.readline())
            if opened != BESIDE:
                sys.exit(f"only {opened} of {BESIDE} streams were opened")
            found["beside"].append(_list50(ours))
            holder.stdin.close()
    return {name: sorted(values)[1] for name, values in found.items()}


def _list50(ours: Target) -> float:
    ours.harness(
        "run", "--user", ours.user("bench0"), "--only", "list50_inbox", "--concurrency", "8",
        "--duration", "3", "--retries", "0",
    )  # fmt: skip
    cells = {cell["name"]: cell for cell in ours.results()["results"]}
    return float(cells["list50_inbox"]["cpu_s_per_1000"])


def _workers(ours: Target) -> dict[str, float]:
    return asyncio.run(
        bench_streams.delivery_latency(ours, f"127.0.0.1:{LMTP}", streams=16, messages=DELIVERIES)
    )


if __name__ == "__main__":
    main()
