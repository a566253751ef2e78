"""What keeps a program from using a database for good."""

from veredus.ports import Unavailable


class Refused(Unavailable, ValueError):
    """The database is not for this program: trying again will not help. The text ends in a remedy."""
