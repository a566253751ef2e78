"""`make bench`: measures a fresh server with the load harness beside the clone; writes docs/benchmarks.md.

The harness (shared/bench) speaks JMAP over HTTP and LMTP from a process of its own and counts the CPU
seconds of the server's processes. With --cyrus-url and --cyrus-pidfile a Cyrus that runs already is measured
in the same run, each workload right after ours; without, the figures that came with the harness are shown.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tools import bench_million, bench_own, bench_page
from tools.bench_client import BENCH, workload_names
from tools.bench_server import ROOT, Target, add_accounts, memory, server

PARTS = ("harness", "import", "million", "mime")
LMTP_MESSAGES = 400


def main() -> None:
    args = _arguments()
    if not BENCH.is_dir():
        sys.exit(f"make bench: needs the harness in {BENCH} (or VEREDUS_SHARED)")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cyrus = _cyrus(args)
    if set(args.parts) == set(PARTS) and not args.only:
        for path in (args.out, *([cyrus.out] if cyrus else [])):
            path.unlink(missing_ok=True)
    ours = Target("Veredus", "", "", ("", ""), "", args.out)
    parts: dict[str, Callable[[], None]] = {
        "harness": lambda: _harness(args, cyrus),
        "mime": lambda: ours.note("mime", bench_own.parsed(3 if args.quick else 9)),
        "import": lambda: ours.note("import", bench_own.imported(args.messages, args.cache)),
        "million": lambda: ours.note("million", _million(args)),
    }
    for name, part in parts.items():
        if name in args.parts:
            print(f"=== {name}", flush=True)
            part()
    recorded = cyrus.results() if cyrus else json.loads(args.cyrus.read_text())
    bench_page.write(ours.results(), recorded, args.messages, same_run=cyrus is not None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8 clients only, 1.5 s for each workload")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--duration", type=float, help="seconds for each workload and number of clients (3)")
    parser.add_argument("--concurrency", help="numbers of clients (1,8,32)")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure; the rest is kept")
    parser.add_argument("--only", default="", help="these workloads of the harness; the rest is kept")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json", help="all results")
    parser.add_argument(
        "--keep", type=Path, help="a data directory to use and keep, so that it is filled once"
    )
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "veredus-bench")
    parser.add_argument("--million", type=Path, default=Path(tempfile.gettempdir()) / "veredus-million")
    parser.add_argument("--cyrus", type=Path, default=BENCH / "results" / "cyrus-3.6.1.json")
    parser.add_argument("--cyrus-url", help="the session URL of a Cyrus with bench0 (filled) and lmtp0")
    parser.add_argument("--cyrus-pidfile", type=Path)
    parser.add_argument("--cyrus-lmtp", default="127.0.0.1:12003")
    args = parser.parse_args()
    args.duration = args.duration or (1.5 if args.quick else 3.0)
    args.concurrency = args.concurrency or ("8" if args.quick else "1,8,32")
    args.parts = ["harness"] if args.only else args.parts.split(",")
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"--parts: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if (args.cyrus_url is None) != (args.cyrus_pidfile is None):
        parser.error("--cyrus-url and --cyrus-pidfile go together")
    return args


def _cyrus(args: argparse.Namespace) -> Target | None:
    if args.cyrus_url is None:
        return None
    out: Path = args.out.with_name(f"{args.out.stem}-cyrus.json")
    process = ("--pidfile", str(args.cyrus_pidfile))
    return Target("Cyrus 3.6.1", args.cyrus_url, args.cyrus_lmtp, process, "", out)


def _harness(args: argparse.Namespace, cyrus: Target | None) -> None:
    """Everything that the harness measures, on a server of its own."""
    with ExitStack() as stack:
        data = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "data"
        filled = data / f"filled-{args.messages}.json"
        add_accounts(data, ["bench0", "lmtp0"])
        ours = stack.enter_context(server(data, args.out))
        if not filled.exists():
            ours.harness("seed", "--user", ours.user("bench0"), "--messages", str(args.messages))
            shutil.copy(args.out, filled)
        _seeded(ours, filled)
        for name in args.only.split(",") if args.only else workload_names():
            if name != "lmtp_delivery":
                _workload(ours, name, args.concurrency, args.duration)
            if cyrus is not None and name not in ("lmtp_delivery", "list50_after_change"):
                _workload(cyrus, name, "8", args.duration)
        if not args.only and "32" not in args.concurrency.split(","):
            _workload(ours, "set_keyword_1", "32", args.duration)
        if not args.only or "lmtp_delivery" in args.only:
            _lmtp(ours, "1,8")
            if cyrus is not None:
                _lmtp(cyrus, "8")
        if not args.only:
            ours.note("memory", memory(ours.process[1]))


def _seeded(ours: Target, filled: Path) -> None:
    """What filling the account cost, also when it was done in an earlier run."""
    results = ours.results()
    results["seed"] = json.loads(filled.read_text())["seed"]
    ours.out.write_text(json.dumps(results, indent=1))


def _workload(target: Target, name: str, concurrency: str, duration: float) -> None:
    target.harness(
        "run", "--user", target.user("bench0"), "--only", name, "--concurrency", concurrency,
        "--duration", str(duration), "--retries", "0",
    )  # fmt: skip


def _lmtp(target: Target, concurrency: str) -> None:
    target.harness(
        "lmtp", "--lmtp", target.lmtp, "--rcpt", target.user("lmtp0"),
        "--messages", str(LMTP_MESSAGES), "--concurrency", concurrency,
    )  # fmt: skip


def _million(args: argparse.Namespace) -> dict[str, object]:
    out = args.out.with_name(f"{args.out.stem}-million.json")
    return bench_million.measured(args.million, out, args.duration, 1 if args.quick else 2)


if __name__ == "__main__":
    main()
