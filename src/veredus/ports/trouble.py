"""What every port may raise."""


class Unavailable(Exception):
    """A resource cannot be used now; trying again later may work."""
