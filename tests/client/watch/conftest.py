"""The world of the client's tests."""

from client.conftest import world

__all__ = ["world"]
