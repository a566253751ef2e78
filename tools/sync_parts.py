"""The parts of veredus.client.sync that tools/sync_client.py takes as they stand here."""

INIT = '''"""The client without async, under the same names: ``with Client.connect(…) as client``.

Each call blocks its thread, and several threads may share a client. It is what it is in ``veredus.client``,
run in a thread of its own. Written by tools/sync_client.py.
"""
'''

EVENT = '''
Event: TypeAlias = Created[R] | Updated[R] | Destroyed | Resync | Complete


def shown(portal: Portal, event: _events.Event[R]) -> Event[R]:
    """An event of the async client as one of these."""
    match event:
        case _events.Created():
            return Created(portal, event)
        case _events.Updated():
            return Updated(portal, event)
        case _events.Destroyed():
            return Destroyed(portal, event)
        case _events.Resync():
            return Resync(portal, event)
        case _events.Complete():
            return Complete(portal, event)
'''

OPENING = '''
    def open(self) -> "Client":
        """What ``with`` does, for a REPL; ``close`` it in the end."""
        self._portal.enter(self._of)
        return self

    def close(self) -> None:
        """Without effect when it is closed already."""
        self._portal.leave(self._of)

    def __enter__(self) -> "Client":
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
'''

REPLICA = '''
    @classmethod
    def open(
        cls,
        client: Client | None,
        path: Path | str,
        keep: Mapping[str, str | None] | None = None,
        *,
        bodies: bool = False,
        properties: Mapping[str, Sequence[str]] | None = None,
        account: Id | None = None,
    ) -> "Replica":
        """As in the async client. With ``client`` None it has a thread of its own, until it is closed."""
        of = client._of if client is not None else None
        portal = client._portal if client is not None else Portal()
        if client is None:
            portal.start()
        opening = _replica.Replica.open(
            of, path, keep, bodies=bodies, properties=properties, account=account
        )
        try:
            replica = cls(portal, portal.call(opening))
        except BaseException:
            if client is None:
                portal.stop()
            raise
        replica._own = client is None
        return replica

    _own = False

    def __enter__(self) -> "Replica":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """What is being written is finished first; without effect when it is closed already."""
        if self._portal.is_open:
            self._portal.call(self._of.close())
        if self._own:
            self._portal.stop()
'''
