"""How a connection authenticates and encrypts, as arguments of nats-py; secrets are read at each connect."""

import base64
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import nkeys  # type: ignore[import-untyped]

from veredus.bridge.nats.errors import Misconfigured
from veredus.bridge.settings import NatsSettings, Secret

# Gives the text of a secret; raises OSError or ValueError, whose text names the file or the variable.
ReadSecret: TypeAlias = Callable[[Secret], str]

# A file of credentials as `nsc` writes it: two blocks between lines of dashes.
_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+(\S+)\s+-+END NATS USER JWT-+")
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+(\S+)\s+-+END USER NKEY SEED-+")


def login(settings: NatsSettings, read_secret: ReadSecret) -> dict[str, Any]:
    """For ``nats.connect``. Raises Misconfigured."""
    try:
        if settings.creds is not None:
            return _credentials(settings.creds)
        if settings.nkey_seed is not None:
            return {"nkeys_seed_str": _checked(read_secret(settings.nkey_seed).strip(), "nkey_seed")}
        if settings.token is not None:
            return {"token": read_secret(settings.token)}
        if settings.user is not None:
            user = settings.user if isinstance(settings.user, str) else read_secret(settings.user)
            password = read_secret(settings.password) if settings.password is not None else ""
            return {"user": user, "password": password}
    except (OSError, ValueError) as error:
        raise Misconfigured(f"secret for NATS: {error}") from None
    return {}


def needs_tls(settings: NatsSettings, url: str) -> bool:
    """Whether a server that does not offer TLS must not be told any secret."""
    return url.startswith("tls://") or any((settings.tls_ca, settings.tls_cert, settings.tls_key))


def tls_context(settings: NatsSettings) -> ssl.SSLContext:
    """The system's authorities, or only ``tls_ca``. Raises Misconfigured."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"tls_ca {settings.tls_ca}: {error}") from None
    if settings.tls_cert is not None:
        try:
            context.load_cert_chain(settings.tls_cert, settings.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(
                f"tls_cert {settings.tls_cert}, tls_key {settings.tls_key}: {error}"
            ) from None
    elif settings.tls_key is not None:
        raise Misconfigured("tls_key without tls_cert")
    return context


def _credentials(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or seed is None:
        raise ValueError(f"{file} has no user JWT and nkey seed in it, as `nsc` writes them")
    key = _checked(seed[1], str(file))

    def sign(nonce: str) -> bytes:
        return base64.b64encode(nkeys.from_seed(bytearray(key.encode())).sign(nonce.encode()))

    return {"user_jwt_cb": jwt[1].encode, "signature_cb": sign}


def _checked(seed: str, where: str) -> str:
    try:
        nkeys.from_seed(bytearray(seed.encode())).public_key  # noqa: B018 - reading it checks the seed
    except Exception:  # nkeys and what it stands on raise many kinds, and their text may show the seed
        raise ValueError(f"{where} holds no nkey seed (SU...)") from None
    return seed
