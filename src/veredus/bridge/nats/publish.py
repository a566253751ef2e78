"""Messages into a stream, in order, many under way at once."""

import asyncio

from veredus.bridge.nats.link import ANSWER_S, Link
from veredus.bridge.nats.message import MESSAGE_ID, Message, check_size, check_subject, encoded_headers
from veredus.bridge.nats.window import MESSAGES, OCTETS, Ack, Window


class Publisher:
    """A pipeline that keeps order. After its first failure it sends nothing more: make a new one, and begin
    again at the first message that was not acknowledged.

    What followed a refused message may have been stored all the same, if it was under way already; sent
    again it is known by its id.
    """

    def __init__(
        self,
        link: Link,
        *,
        max_size: int | None = None,
        messages: int = MESSAGES,
        octets: int = OCTETS,
        answer_s: float = ANSWER_S,
    ) -> None:
        """``max_size``: of a message of the stream (``max_msg_size``), if it has one."""
        self._window = Window(link, ordered=True, messages=messages, octets=octets, answer_s=answer_s)
        self.max_size = link.max_payload if max_size is None else min(max_size, link.max_payload)

    async def send(self, message: Message) -> "asyncio.Future[Ack]":
        """Waits for room only; the future is the acknowledgement.

        Raises TooLarge or BadName when the message cannot be sent at all: the pipeline goes on without it.
        Raises what ended the pipeline, if something did.
        """
        check_subject(message.subject)
        headers = message.headers if message.id is None else {**message.headers, MESSAGE_ID: message.id}
        block = encoded_headers(headers)
        check_size(message.subject, block, message.body, self.max_size)
        return await self._window.send(message.subject, message.body, block)

    async def publish(self, message: Message) -> Ack:
        """Send, and wait for the acknowledgement."""
        return await (await self.send(message))

    async def drain(self) -> None:
        """Returns when everything sent is acknowledged. Raises what ended the pipeline."""
        await self._window.drain()
