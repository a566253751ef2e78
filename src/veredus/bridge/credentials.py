"""How the bridge proves who it is to the JMAP server: with secrets that may rotate while it runs."""

from veredus.bridge.config.secret import read
from veredus.bridge.settings import JmapSettings, Secret
from veredus.client.credentials import Basic, Bearer, Credentials


class _Password:
    """Basic authentication whose password is read again when the server refuses it."""

    def __init__(self, user: str, secret: Secret) -> None:
        self._user, self._secret = user, secret
        self._read: str | None = None

    async def authorization(self) -> str:
        if self._read is None:
            self._read = read(self._secret)
        return await Basic(self._user, self._read).authorization()

    async def refresh(self) -> bool:
        old, self._read = self._read, None
        await self.authorization()
        return self._read != old


def credentials(settings: JmapSettings) -> Credentials | None:
    """What the settings say; None: nothing. Secrets are read when they are first needed."""
    token = settings.token
    if token is not None:

        async def fetch() -> str:
            return read(token)

        return Bearer(fetch)
    if settings.user is not None and settings.password is not None:
        return _Password(settings.user, settings.password)
    return None
