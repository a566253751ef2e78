"""The fault test as a program: ``python -m cluster.run --seed 7 --minutes 10``; docs/faults.md tells more."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import structs

from cluster.faults import ALL_KINDS
from cluster.network import why_not
from cluster.round import REPORT, Options, Report

_ROOT = Path(__file__).parent.parent.parent
# For what is not the faults: start, checks, and nodes that find their way back.
_BESIDE_S = 150.0


def one_round(options: Options, directory: Path) -> Report:
    """In a process of its own, which alone is moved to the network of the cluster."""
    paths = os.pathsep.join(str(_ROOT / name) for name in ("src", "tests", "."))
    child = subprocess.Popen(
        [sys.executable, "-m", "cluster.round", msgspec.json.encode(options).decode(), str(directory)],
        env=os.environ | {"PYTHONPATH": paths},
    )
    try:
        status = child.wait(_BESIDE_S + 3 * options.seconds)
    except subprocess.TimeoutExpired:
        status = "hangs"
    finally:
        if child.poll() is None:
            child.send_signal(2)  # as Ctrl-C: it cleans up
            child.wait(60)
    report = directory / REPORT
    if status == 0 and report.exists():
        return msgspec.json.decode(report.read_bytes(), type=Report)
    return Report([f"the round itself failed: {status}"], {}, {})


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Faults in a cluster on one machine, and what must hold all the same."
    )
    parser.add_argument("--seed", type=int, help="of the first round; not given: a new one")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the faults of one round go on")
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="rounds with one seed after another for so long"
    )
    parser.add_argument("--kinds", default=",".join(ALL_KINDS), help=f"of {','.join(ALL_KINDS)}")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument(
        "--sqlite", action="store_true", help="one data directory instead of PostgreSQL and S3"
    )
    parser.add_argument("--keep", type=Path, help="a directory for configurations and logs; must not exist")
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(10**6)
    kinds = tuple(args.kinds.split(","))
    if unknown := set(kinds) - {*ALL_KINDS}:
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    if args.keep and args.keep.exists():
        parser.error(f"{args.keep} exists already")
    if problem := why_not():
        sys.exit(problem)
    options = Options(seed, seconds=args.seconds, clients=args.clients, sqlite=args.sqlite, kinds=kinds)
    end = time.monotonic() + args.minutes * 60
    bad: list[int] = []
    while True:
        if _told(options, args.keep):
            bad.append(options.seed)
        options = structs.replace(options, seed=options.seed + 1)
        if time.monotonic() >= end:
            break
    if args.minutes:
        print(f"{options.seed - seed} rounds, {len(bad)} with problems: {bad}")
    return 1 if bad else 0


def _told(options: Options, keep: Path | None) -> int:
    """One round; how many problems there were."""
    with tempfile.TemporaryDirectory(prefix="veredus-cluster-") as directory:
        place = keep / str(options.seed) if keep else Path(directory)
        place.mkdir(parents=True, exist_ok=keep is None)
        report = one_round(options, place)
    print(f"faults {report.faults}")
    print(f"counts {report.counts}")
    for problem in report.problems:
        print(f"PROBLEM {problem}")
    again = f"; again: {options.command}" if report.problems else ""
    print(f"seed {options.seed}: {len(report.problems)} problems{again}", flush=True)
    return len(report.problems)


if __name__ == "__main__":
    sys.exit(main())
