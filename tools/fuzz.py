"""Fuzzing: ``make fuzz``, or ``python -m tools.fuzz --target mime --seconds 600``.

Guided by coverage where atheris is installed (Linux, x86-64), else a plain mutation loop. An input
that breaks a target is written to fuzz-corpus/found/; moved to tests/fuzz/found/ it is a test.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import io
import random
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Targets are imported where they are run: a fuzzer must be there before what it is to watch.
# ruff: noqa: PLC0415

ROOT = Path(__file__).parent.parent
WORK = ROOT / "fuzz-corpus"
_MOST = 64 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description="Fuzz Veredus.")
    parser.add_argument("--target", help="one target; else all, one after the other")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--replay", type=Path, help="run one input, with its traceback")
    parser.add_argument("--plain", action="store_true", help="the mutation loop, even where there is atheris")
    arguments = parser.parse_args()
    if arguments.target is None:
        return _all(arguments)
    if arguments.replay is not None:
        return _replay(arguments)
    if arguments.plain or importlib.util.find_spec("atheris") is None:
        return _plain(arguments)
    return _guided(arguments)


def _all(arguments: argparse.Namespace) -> int:
    """Each target in a process of its own: one that breaks does not keep the others from running."""
    from tools.fuzz_targets import TARGETS

    options = [
        "--seconds",
        str(arguments.seconds),
        "--seed",
        str(arguments.seed),
        *(["--plain"] * arguments.plain),
    ]
    broken = []
    for name in TARGETS:
        print(f"== {name}", flush=True)
        if subprocess.run(
            [sys.executable, "-m", "tools.fuzz", "--target", name, *options], check=False
        ).returncode:
            broken.append(name)
    print(f"broken: {', '.join(broken)}" if broken else "nothing found")
    return bool(broken)


def _replay(arguments: argparse.Namespace) -> int:
    from tools.fuzz_targets import opened

    with opened(arguments.target) as target:
        target(arguments.replay.read_bytes())
    print("this input does no harm (any more)")
    return 0


def _plain(arguments: argparse.Namespace) -> int:
    from tools import fuzz_loop
    from tools.fuzz_targets import WORDS, opened, seeds

    name = arguments.target
    with opened(name) as target:
        try:
            starts = [*seeds(name), *WORDS.get(name, ())]
            tried = fuzz_loop.run(reporting(name, target), starts, arguments.seconds, arguments.seed)
        except Exception:
            return 1
    print(f"{name}: {tried} inputs, nothing found")
    return 0


def _guided(arguments: argparse.Namespace) -> int:
    import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]

    # Coverage is counted in modules that are imported from here on; it would name them all.
    with (
        contextlib.redirect_stderr(io.StringIO()),
        atheris.instrument_imports(include=["veredus"], enable_loader_override=False),
    ):
        from tools.fuzz_targets import WORDS, opened, seeds
    name = arguments.target
    corpus = WORK / name
    corpus.mkdir(parents=True, exist_ok=True)
    for data in seeds(name):
        (corpus / hashlib.sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
    options = [
        f"-max_total_time={arguments.seconds}", f"-max_len={_MOST}", f"-seed={arguments.seed}", "-timeout=60",
        "-rss_limit_mb=4096", f"-artifact_prefix={WORK}/{name}-", "-print_final_stats=1", "-verbosity=0",
    ]  # fmt: skip
    if name in WORDS:
        words = WORK / f"{name}.dict"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS[name]))
        options.append(f"-dict={words}")
    with opened(name) as target:
        atheris.Setup([sys.argv[0], *options, str(corpus)], reporting(name, target))
        atheris.Fuzz()  # ends the process
    return 0


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def reporting(name: str, target: Callable[[bytes], None]) -> Callable[[bytes], Any]:
    """``target``, which writes down what breaks it."""

    def run(data: bytes) -> None:
        try:
            target(data)
        except BaseException:
            traceback.print_exc()
            path = WORK / "found" / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            with contextlib.suppress(ValueError):
                path = path.relative_to(Path.cwd())
            print(
                f"\nbroken by {len(data)} octets: python -m tools.fuzz --target {name} --replay {path}",
                flush=True,
            )
            raise

    return run


if __name__ == "__main__":
    sys.exit(main())
