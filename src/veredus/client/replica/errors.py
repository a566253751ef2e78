"""What goes wrong with the file, not with the server."""

from veredus.client.errors import JMAPError


class ReplicaError(JMAPError):
    """The file cannot be used; the message names it."""
