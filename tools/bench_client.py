"""The load harness of shared/bench, with one workload more: ``python -m tools.bench_client run ...``."""

import os
import sys
import time
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BENCH = Path(os.environ.get("VEREDUS_SHARED", ROOT.parent / "shared")) / "bench"


@cache
def harness(module: str) -> Any:
    """A module of the harness, which is not installed."""
    if str(BENCH) not in sys.path:
        sys.path.insert(0, str(BENCH))
    return import_module(f"jmapbench.{module}")


async def _change_and_list(self: Any, c: Any) -> float:
    """A keyword of the inbox changes, then its first fifty are listed; the latency is that of the list."""
    jmap, workloads = harness("jmap"), harness("workloads")
    await workloads.SetKw1.op(self, c)
    inbox = {"inMailbox": c.a.info["inbox"]}
    began = time.perf_counter()
    body = await c.api([workloads.Q(c.a, inbox, calculateTotal=True), workloads.G(c.a)])
    took = time.perf_counter() - began
    answers = jmap.loads(body)["methodResponses"]
    if [answer[0] for answer in answers] != ["Email/query", "Email/get"]:
        raise jmap.JmapError(str(answers)[:300])
    return took


def workload_names() -> list[str]:
    """All workloads, in the order of the harness."""
    every = harness("workloads").ALL
    if every[-1].name != "list50_after_change":
        base = harness("workloads").SetKw1
        own = {"name": "list50_after_change", "kw": "bench-list", "op": _change_and_list}
        every.append(type("ChangeAndList", (base,), own))
    return [workload.name for workload in every]


if __name__ == "__main__":
    workload_names()
    harness("__main__").main()
