"""When a certificate ends, found out as a client would: by a handshake, here in memory."""

import ssl
from datetime import UTC, datetime
from pathlib import Path


def expiry(certificate: Path, key: Path) -> datetime:
    """Raises OSError (ssl.SSLError is one) for files that cannot be used, and for what has expired."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # The leaf is trusted as it is: who signed it is for real clients to judge.
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (ours, theirs):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = ours.getpeercert()
    assert found is not None, "the client has verified it"
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC)
