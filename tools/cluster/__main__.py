"""``make cluster``: PostgreSQL, nats-server, an S3-compatible store, three nodes and haproxy, on one machine.

Until Ctrl-C; what is killed meanwhile is started again. ``--once``: deliver, read and push through different
nodes, kill a node, restart nats-server and PostgreSQL, see that clients carry on, and end.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from tools.cluster.cluster import Cluster, Plan
from tools.cluster.keeping import AFTER_S, keep
from tools.cluster.postgres import PostgresFailed
from tools.cluster.process import NotStarted
from tools.cluster.story import Story, StoryFailed
from veredus import log as logs

USERS = {"alice@example.com": "alice", "bob@example.com": "bob"}


async def run(plan: Plan, *, once: bool) -> None:
    """Raises StoryFailed, NotStarted, PostgresFailed."""
    with tempfile.TemporaryDirectory(prefix="veredus-cluster-") as name:
        print("\n  Starting ...", flush=True)
        async with Cluster(Path(name), plan) as cluster:
            for user, password in USERS.items():
                await cluster.add_account(user, password)
            print(banner(cluster), flush=True)
            if once:
                user, password = next(iter(USERS.items()))
                await Story(cluster, user, password).tell()
                print("\n  That was all of it.\n", flush=True)
            else:
                await keep(cluster, lambda text: print(f"  {text}", flush=True))


def banner(cluster: Cluster) -> str:
    """What runs where, and what one can do with it."""
    proxy, (user, password) = cluster.proxy, next(iter(USERS.items()))
    nodes = "\n".join(
        f"  Node {node.number}    {node.url}  LMTP 127.0.0.1:{node.lmtp}  pid {node.process.pid}"
        for node in cluster.nodes
    )
    shared = [f"  NATS      {cluster.nats.url}  pid {cluster.nats.process.pid}"]
    if cluster.postgres is not None:
        dsn, pid = cluster.postgres.dsn("veredus"), cluster.postgres.pid
        shared.append(f"  Database  {dsn}  pid {pid}, log {cluster.postgres.directory}/log")
    if cluster.s3 is not None:
        shared.append(f"  Blobs     {cluster.s3.url} at {cluster.s3.endpoint}  pid {cluster.s3.process.pid}")
    lines = "\n".join(shared)
    node, who = cluster.nodes[0], f"{user}:{password}"
    session = f"{proxy.url}/.well-known/jmap"
    pid, veredus = node.process.pid, Path(sys.executable).with_name("veredus")
    return f"""
  JMAP      {session}   {" ".join(f"{name}/{word}" for name, word in USERS.items())}
  LMTP      127.0.0.1:{proxy.lmtp}
  haproxy   http://127.0.0.1:{proxy.stats}/ shows which node is up
{nodes}
{lines}
  Logs      {cluster.directory}/*.log, gone at the end

  Send      swaks --protocol LMTP --server 127.0.0.1:{proxy.lmtp} --to {user} --header 'Subject: My own'
  Read      curl -u {who} {session}
            VEREDUS_JMAP_PASSWORD={password} {veredus} jmap query Email -u {user} -s {session}
  Push      VEREDUS_JMAP_PASSWORD={password} {veredus} jmap watch Email -u {user} -s {session}
            curl -N -u {who} '{proxy.url}/jmap/eventsource?types=*&closeafter=no&ping=15'
  Break     kill -9 any pid above; kill {pid} lets node 1 drain for {cluster.plan.drain_s:g} s
  Mend      nothing to do: what has ended starts again after {AFTER_S} s
  Stop      Ctrl-C
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when all was seen; status 0")
    parser.add_argument("--storage", choices=["postgresql", "sqlite"], default="postgresql")
    parser.add_argument("--blobs", choices=["s3", "file"], default="s3")
    parser.add_argument("--drain", type=float, default=2, help="http.drain in seconds")
    args = parser.parse_args()
    logs.configure("text", "warning")  # of this process alone; the nodes have their own
    plan = Plan(storage=args.storage, blobs=args.blobs, drain_s=args.drain, usual_ports=not args.once)

    async def until_told() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await run(plan, once=args.once)

    try:
        asyncio.run(until_told())
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\n  Stopped.")
    except (StoryFailed, NotStarted, PostgresFailed) as error:
        sys.exit(f"make cluster: {error}")


if __name__ == "__main__":
    main()
