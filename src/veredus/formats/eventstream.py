"""Server-sent events as octets (https://html.spec.whatwg.org/multipage/server-sent-events.html §9.2.5).

Only for sending. Each block ends in an empty line, which is what makes the client act on it.
"""

_BREAKS = frozenset(b"\r\n")


def block(
    *, event: str | None = None, data: bytes | None = None, id: str | None = None, retry_ms: int | None = None
) -> bytes:
    """One block: ``event`` before ``data``, which is one line, then ``id``.

    Without ``data`` nothing is dispatched; the client takes over the ``id``, and ``retry_ms`` as the time
    that it waits before it connects again. Raises ValueError for a value that would be cut or be more lines.
    """
    lines: list[bytes] = []
    if event is not None:
        lines.append(b"event: " + event.encode("utf-8"))
    if data is not None:
        lines.append(b"data: " + data)
    if id is not None:
        if "\0" in id:
            raise ValueError("a client ignores an id with U+0000 in it")
        lines.append(b"id: " + id.encode("utf-8"))
    if retry_ms is not None:
        lines.append(b"retry: %d" % retry_ms)
    if any(not _BREAKS.isdisjoint(line) for line in lines):
        raise ValueError("a line break in a field of an event")
    return b"\n".join(lines) + b"\n\n"
