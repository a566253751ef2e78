"""For pytest: the real server in the process of the tests, with its data in memory.

Installed with the package and found by pytest itself (``-p no:veredus`` turns it off). Nothing of the server
is imported before a fixture is used. For sync and async tests alike: the server has a thread and an event
loop of its own.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from veredus.client.client import Client
    from veredus.pytest_plugin.server import JmapAccount, JmapServer


@pytest.fixture
def jmap_server() -> "Iterator[JmapServer]":
    """A JMAP server on a free port of the loopback interface, without accounts; it ends with the test."""
    from veredus.pytest_plugin.server import JmapServer  # noqa: PLC0415 - not before somebody wants one

    with JmapServer() as server:
        yield server


@pytest.fixture
def jmap_account(jmap_server: "JmapServer") -> "JmapAccount":
    """An account on `jmap_server`: alice@example.com."""
    return jmap_server.add_account("alice@example.com")


@pytest.fixture
def jmap_client(jmap_server: "JmapServer", jmap_account: "JmapAccount") -> "Client":
    """A client for `jmap_account`, to be opened in the test's own event loop: ``async with jmap_client``."""
    from veredus.client.client import Client  # noqa: PLC0415 - not before somebody wants one

    return Client.connect(jmap_server.session_url, basic=(jmap_account.address, jmap_account.password))
