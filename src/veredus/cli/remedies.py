"""What to do about a database that cannot be used: the second half of the line that a command ends with."""

import socket

# By the class, or the whole, of PostgreSQL's SQLSTATE. "Its URL": storage.url, or what a command got as --to.
_BY_STATE = {
    "28": "check user and password in its URL, and pg_hba.conf of PostgreSQL",
    "3D000": "make it: CREATE DATABASE; or name another one in its URL",
    "53300": "raise max_connections of PostgreSQL, or lower storage.connections",
    "57P03": "the server is starting or stopping; try again",
    "42501": "grant the user of its URL what is lacking",
}


def remedy(error: BaseException) -> str:
    """Begins with " - "; empty when the error says it itself, or nothing is known."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    if " - " in str(error):  # it says itself what to do
        return ""
    if state is not None:
        found = _BY_STATE.get(state) or _BY_STATE.get(state[:2])
        return f" - {found}" if found else ""
    if not str(error).startswith("PostgreSQL"):
        return ""
    if isinstance(cause, socket.gaierror):
        return " - check the host in its URL"
    if isinstance(cause, OSError | TimeoutError):
        return " - is it running, and its URL right? `veredus doctor` looks closer"
    return ""
