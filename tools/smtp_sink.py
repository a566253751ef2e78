"""An SMTP server on loopback that takes every message and forgets it, for measurements (RFC 5321, RFC 2920).

    python -m tools.smtp_sink --port 2525

Its cost is as small as asyncio lets it be, so that what is measured is the sender. SIGUSR1: it prints how
many messages came.
"""

import argparse
import asyncio
import signal
import sys
from typing import cast

EHLO = (
    b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 SIZE 104857600\r\n"
)
OK = b"250 2.0.0 ok\r\n"
REPLIES = {
    b"EHLO": EHLO,
    b"HELO": b"250 sink.example\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 2.0.0 bye\r\n",
}


class Sink(asyncio.Protocol):
    """One connection."""

    messages = 0

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = b""
        self.in_text = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.buffer += data
        answers = []
        while True:
            if self.in_text:
                end = self.buffer.find(b"\r\n.\r\n")
                if end < 0:
                    break
                self.buffer = self.buffer[end + 5 :]
                self.in_text = False
                Sink.messages += 1
                answers.append(OK)
                continue
            line, found, rest = self.buffer.partition(b"\r\n")
            if not found:
                break
            verb = line[:4].upper()
            answers.append(REPLIES.get(verb, OK))
            # The text is searched from the end of the line before it on: it may be empty.
            self.in_text = verb == b"DATA"
            self.buffer = b"\r\n" + rest if self.in_text else rest
            if verb == b"QUIT":
                self.transport.write(b"".join(answers))
                self.transport.close()
                return
        if answers:
            self.transport.write(b"".join(answers))


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: print(Sink.messages, flush=True))
    server = await loop.create_server(Sink, "127.0.0.1", port)
    print(f"127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    server.close()
    print(f"{Sink.messages} messages", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0: any that is free; the address is printed")
    asyncio.run(main(parser.parse_args().port))
