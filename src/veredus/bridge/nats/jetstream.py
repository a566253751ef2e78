"""The requests of the JetStream API that the bridge needs, as JSON goes over the wire.

Configurations stay dictionaries: what a newer server says, and we do not know, must go back unchanged.
"""

import base64
from collections.abc import Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from veredus.bridge.nats.errors import NO_MESSAGE, Missing, Refused, of_jetstream
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import decoded_headers

Json: TypeAlias = dict[str, Any]
_API = "$JS.API."
_NO_SUCH_SEQUENCE = 10043
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class StreamInfo(Struct, frozen=True):
    """``config``: as the server has it; ``octets``: of everything stored."""

    config: Json
    messages: int
    octets: int
    first_sequence: int
    last_sequence: int


class Stored(Struct, frozen=True):
    """One message of a stream. ``time``: when it was stored, RFC 3339."""

    subject: str
    sequence: int
    data: bytes
    headers: Mapping[str, str] = {}
    time: str = ""


async def call(link: Link, verb: str, request: object = None, about: str = "JetStream") -> Json:
    """The answer to one request. Raises what ``of_jetstream`` makes, and what ``Link.request`` raises."""
    body = b"" if request is None else msgspec.json.encode(request)
    reply = await link.request(_API + verb, body)
    try:
        answer = _decode(reply.data)
    except msgspec.DecodeError:
        raise Refused(0, f"{about}: no JSON in the answer to {verb}") from None
    error = answer.get("error")
    if error is not None:
        raise of_jetstream(
            error.get("err_code", 0), error.get("code", 0), error.get("description", ""), about
        )
    return answer


async def stream_info(link: Link, stream: str) -> StreamInfo:
    """Raises Missing."""
    return _info(await call(link, f"STREAM.INFO.{stream}", about=f"stream {stream}"))


async def create_stream(link: Link, config: Json) -> StreamInfo:
    """Raises Refused with NAME_IN_USE when there is one with another configuration."""
    name = config["name"]
    return _info(await call(link, f"STREAM.CREATE.{name}", config, f"stream {name}"))


async def update_stream(link: Link, config: Json) -> StreamInfo:
    name = config["name"]
    return _info(await call(link, f"STREAM.UPDATE.{name}", config, f"stream {name}"))


async def last_message(link: Link, stream: str, subject: str) -> Stored | None:
    """The newest of a subject, which may have wildcards; asked of the leader, so never out of date."""
    return await _get(link, stream, {"last_by_subj": subject})


async def next_message(link: Link, stream: str, subject: str, sequence: int) -> Stored | None:
    """The first of a subject, which may have wildcards, from ``sequence`` on; None: there is none."""
    return await _get(link, stream, {"seq": max(sequence, 1), "next_by_subj": subject})


async def delete_message(link: Link, stream: str, sequence: int) -> bool:
    """Whether it was there. It is not overwritten on the disk."""
    try:
        request = {"seq": sequence, "no_erase": True}
        await call(link, f"STREAM.MSG.DELETE.{stream}", request, f"stream {stream}")
    except Refused as error:
        # The second is what 2.9 says.
        if error.code != _NO_SUCH_SEQUENCE and "no message found" not in str(error):
            raise
        return False
    return True


async def purge(link: Link, stream: str, subject: str) -> int:
    """Remove all messages of a subject; how many there were."""
    answer = await call(link, f"STREAM.PURGE.{stream}", {"filter": subject}, f"stream {stream}")
    return int(answer.get("purged", 0))


async def _get(link: Link, stream: str, request: Json) -> Stored | None:
    try:
        answer = await call(link, f"STREAM.MSG.GET.{stream}", request, f"stream {stream}")
    except Missing as error:
        if error.code != NO_MESSAGE:
            raise
        return None
    message = answer["message"]
    return Stored(
        message["subject"],
        message["seq"],
        base64.b64decode(message.get("data") or ""),
        decoded_headers(base64.b64decode(message["hdrs"])) if message.get("hdrs") else {},
        message.get("time", ""),
    )


def _info(answer: Json) -> StreamInfo:
    state = answer.get("state", {})
    return StreamInfo(
        answer["config"],
        state.get("messages", 0),
        state.get("bytes", 0),
        state.get("first_seq", 0),
        state.get("last_seq", 0),
    )
