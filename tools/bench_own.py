"""What is measured without a server: `veredus import` of the harness's corpus, and the MIME parser."""

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.bench_client import BENCH, harness
from tools.bench_server import add_accounts, configure, run
from veredus.formats.mime import message as mime
from veredus.mail.email.describe import describe, texts

CORPUS = BENCH.parent / "corpus"


def rendered(messages: int, directory: Path) -> Path:
    """The corpus of the harness as a directory of files; kept for the next run."""
    complete = directory / f"corpus-{messages}"
    if not complete.is_dir():
        corpus = harness("corpus")
        partial = directory / f"corpus-{messages}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for message in corpus.plan(messages):
            path = partial / f"{message.i:07d}.eml"
            path.write_bytes(corpus.render(message))
            os.utime(path, (message.date, message.date))
        partial.rename(complete)
    return complete


def imported(messages: int, cache: Path) -> dict[str, Any]:
    """`veredus import eml` into a fresh account, full-text index and durability included."""
    source = rendered(messages, cache)
    octets = sum(path.stat().st_size for path in source.iterdir())
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary) / "data"
        add_accounts(data, ["import"])
        system_busy = harness("procs").system_busy
        busy_before, before, began = (
            system_busy(),
            resource.getrusage(resource.RUSAGE_CHILDREN),
            time.monotonic(),
        )
        command = [*configure(data), "import", "eml", str(source), "--to", "import@localhost"]
        shown = run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = system_busy() - busy_before
        stored = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
    counted = re.search(rb"(\d+) imported", shown.stderr)
    if counted is None or int(counted[1]) != messages:
        raise SystemExit(f"the import failed: {shown.stderr.decode()[-1000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "messages": messages,
        "octets": octets,
        "wall_s": wall,
        "per_s": messages / wall,
        "cpu_ms_per_message": cpu / messages * 1000,
        "stored_octets": stored,
        "busy": max(0.0, busy - cpu) / wall / (os.cpu_count() or 1),
    }


def parsed(rounds: int) -> dict[str, Any]:
    """CPU of the MIME parser over the real mail of shared/corpus/mail: median of rounds, ms a message."""
    found = [json.loads(line) for line in (CORPUS / "index.jsonl").read_text("utf-8").splitlines()]
    paths = [one["path"] for one in found if one["path"].startswith("mail/") and one["kind"] == "mail"]
    lone = re.compile(rb"(?<!\r)\n")
    mail = [lone.sub(b"\r\n", (CORPUS / path).read_bytes()) for path in paths]
    # Each measurement holds those before it.
    steps: dict[str, Callable[[bytes], object]] = {
        "parse": mime.parse,
        "describe": _described,
        "texts": _texts,
    }
    result: dict[str, Any] = {"messages": len(mail), "mean_octets": sum(map(len, mail)) // len(mail)}
    for name, step in steps.items():
        times = []
        for _ in range(rounds + 1):
            began = time.process_time()
            for data in mail:
                step(data)
            times.append((time.process_time() - began) / len(mail) * 1000)
        result[name] = statistics.median(times[1:])
    return result


def _described(data: bytes) -> object:
    return describe(mime.parse(data), "B")


def _texts(data: bytes) -> object:
    message = mime.parse(data)
    return texts(message, describe(message, "B"))
