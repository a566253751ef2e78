"""A wire between two interfaces that takes its time and loses packets: ``wire.py A B DELAY_MS LOSS SEED``.

A program of its own, for the namespace of the switch. Frames pass with the kernel's own notes on checksums
and segments (PACKET_VNET_HDR), so that offloading works as over a real bridge.
"""

import heapq
import random
import select
import socket
import sys
import time

_SOL_PACKET, _VNET_HDR, _IGNORE_OUTGOING = 263, 15, 23
_ALL = 3
_LARGEST = 70_000


def _open(interface: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    tap.setsockopt(_SOL_PACKET, _VNET_HDR, 1)
    tap.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    tap.bind((interface, _ALL))
    tap.setblocking(False)
    return tap


def main() -> None:
    first, second = _open(sys.argv[1]), _open(sys.argv[2])
    delay_s, loss, chance = float(sys.argv[3]) / 1000, float(sys.argv[4]), random.Random(sys.argv[5])
    # (when, number, to, frame); the number keeps what is due at once in order.
    waiting: list[tuple[float, int, socket.socket, bytes]] = []
    latest = {first: 0.0, second: 0.0}
    number = 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, to, frame = heapq.heappop(waiting)
            try:
                to.send(frame)
            except OSError:  # a full queue loses packets, as a real one does
                continue
        timeout = max(waiting[0][0] - now, 0) if waiting else None
        for tap in select.select([first, second], [], [], timeout)[0]:
            frame = tap.recv(_LARGEST)
            if chance.random() < loss:
                continue
            to = second if tap is first else first
            # Packets of one way do not overtake one another: a slow link, not a shuffled one.
            latest[to] = max(latest[to], time.monotonic() + delay_s * (1 + chance.random()))
            number += 1
            heapq.heappush(waiting, (latest[to], number, to, frame))


if __name__ == "__main__":
    main()
