"""`make bench-cluster`: a node on SQLite, a node on PostgreSQL, and three nodes on PostgreSQL beside one.

What an operation costs is the CPU time of the nodes, without that of PostgreSQL and haproxy. One node and
three are compared behind the same haproxy, with as many clients for each node. Writes its part of
docs/benchmarks.md.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tools.bench_client import workload_names
from tools.bench_page import PAGE, machine
from tools.bench_server import PASSWORD, ROOT, Target
from tools.cluster.cluster import DATABASE
from tools.cluster.node import Node
from tools.cluster.postgres import PostgresServer
from tools.cluster.proxy import Haproxy
from tools.cluster.services import Nats
from veredus.app import open_app
from veredus.config import load

BEGIN, END = "<!-- cluster: begin -->", "<!-- cluster: end -->"
SQLITE, POSTGRES, ONE, THREE = KINDS = ("sqlite", "postgresql", "one node", "three nodes")
CLIENTS = {SQLITE: 8, POSTGRES: 8, ONE: 8, THREE: 24}
# What is measured behind haproxy.
SOME = (
    "session_get", "core_echo", "changes_noop", "mailbox_get_all", "list50_inbox", "email_get_full",
    "resync_10_changed", "search_text", "set_keyword_1", "move_1", "email_import_1", "blob_upload_10KB",
)  # fmt: skip
# Blobs are files in one directory for all: what S3 costs is measured by itself (docs/blobs.md).
SETTINGS = """
data_dir = "{data}"
[storage]
{storage}
[limits]
max_concurrent_requests = 64
max_concurrent_upload = 64
[quota]
default_octets = "none"
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-cluster", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--duration", type=float, default=2.0, help="seconds for each workload")
    parser.add_argument("--only", default="", help="these workloads alone, separated by commas")
    parser.add_argument("--kinds", default=",".join(KINDS), help="what to measure; the rest is kept")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench-cluster")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for kind in args.kinds.split(","):
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(_measure(kind, Path(directory), args))
    found = {kind: _out(args.out, kind) for kind in KINDS}
    write({kind: json.loads(path.read_text()) for kind, path in found.items() if path.exists()})


def _out(directory: Path, kind: str) -> Path:
    return directory / f"{kind.replace(' ', '-')}.json"


async def _measure(kind: str, directory: Path, args: argparse.Namespace) -> None:
    async with _nodes(kind, directory) as (nodes, url, lmtp):
        pids = [str(node.process.pid) for node in nodes]
        process = tuple(word for pid in pids for word in ("--pid", pid))
        target = Target(kind, f"{url}/.well-known/jmap", lmtp, process, "@localhost", _out(args.out, kind))
        user = target.user("bench0")
        every = workload_names()
        names = args.only.split(",") if args.only else every if kind in (SQLITE, POSTGRES) else SOME
        if not args.only:
            target.out.unlink(missing_ok=True)
        await _harness(target, "seed", "--user", user, "--messages", str(args.messages))
        for name in names:
            if name != "lmtp_delivery":
                await _harness(
                    target, "run", "--user", user, "--only", name, "--concurrency", str(CLIENTS[kind]),
                    "--duration", str(args.duration), "--retries", "0",
                )  # fmt: skip
        if "lmtp_delivery" in names or (not args.only and kind in (SQLITE, POSTGRES)):
            await _harness(
                target, "lmtp", "--lmtp", lmtp, "--rcpt", target.user("lmtp0"), "--messages", "400",
                "--concurrency", "8",
            )  # fmt: skip


async def _harness(target: Target, *arguments: str) -> None:
    await asyncio.to_thread(target.harness, *arguments)


@asynccontextmanager
async def _nodes(kind: str, directory: Path) -> AsyncIterator[tuple[Sequence[Node], str, str]]:
    """Nodes, and where they are reached by HTTP and by LMTP."""
    async with AsyncExitStack() as stack:
        storage = 'url = "sqlite"'
        bus = ""
        if kind != SQLITE:
            postgres = PostgresServer(fsync=True)
            stack.callback(postgres.close)
            postgres.start()
            postgres.create(DATABASE)
            storage = f'url = "{postgres.dsn(DATABASE)}"'
        if kind == THREE:
            nats = Nats(directory)
            stack.push_async_callback(nats.process.stop)
            await nats.start()
            bus = f'[bus]\nurl = "{nats.url}"\n'
        settings = SETTINGS.format(data=directory / "data", storage=storage) + bus
        nodes = []
        for number in range(1, 4 if kind == THREE else 2):
            node = Node(directory, number, settings, drain_s=0)
            stack.push_async_callback(node.stop)
            await node.start()
            nodes.append(node)
        await _add_accounts(nodes[0].config)
        url, lmtp = nodes[0].url, f"{nodes[0].address}:{nodes[0].lmtp}"
        if kind in (ONE, THREE):
            proxy = Haproxy(directory, nodes if kind == THREE else nodes * 3)
            stack.push_async_callback(proxy.process.stop)
            await proxy.start()
            url, lmtp = proxy.url, f"{proxy.address}:{proxy.lmtp}"
        yield nodes, url, lmtp


async def _add_accounts(config: Path) -> None:
    async with open_app(load(config, {}).config, types=[]) as app:
        for name in ("bench0", "lmtp0"):
            await app.add_account(f"{name}@localhost", PASSWORD)


# ---------------------------------------------------------------- the page


def write(results: dict[str, Any]) -> None:
    """Replace what stands between the marks; print it, too."""
    cells = {kind: _cells(results.get(kind, {})) for kind in KINDS}
    lines = [
        BEGIN,
        machine(results[SQLITE]),
        "\nCPU ms of the node for one operation, 8 clients. In bold: more than twice that of SQLite.\n",
        "| operation | SQLite | PostgreSQL | ratio |",
        "|---|--:|--:|--:|",
        *_rows(cells[SQLITE], cells[POSTGRES], 2),
        "\nThe same behind haproxy: one node with 8 clients, three with 24. In bold: more than 1.15 times.\n",
        "| operation | one node | three nodes | ratio |",
        "|---|--:|--:|--:|",
        *_rows(cells[ONE], cells[THREE], 1.15),
        END,
    ]
    measured = "\n".join(lines)
    head, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(head + measured + rest.partition(END)[2])
    print(measured)


def _rows(before: dict[str, float], after: dict[str, float], aim: float) -> Iterator[str]:
    for name in (name for name in before if name in after):
        ratio = after[name] / before[name]
        yield f"| `{name}` | {before[name]:.2f} | {after[name]:.2f} | {_bold(ratio, aim)} |"


def _bold(ratio: float, aim: float) -> str:
    return f"**{ratio:.2f}**" if ratio > aim else f"{ratio:.2f}"


def _cells(results: dict[str, Any]) -> dict[str, float]:
    """CPU ms for an operation, by workload."""
    cells = [cell for cell in results.get("results", ()) if cell["cpu_s_per_1000"] is not None]
    return {cell["name"]: cell["cpu_s_per_1000"] for cell in cells}


if __name__ == "__main__":
    main()
