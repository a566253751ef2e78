"""Giving the accounts of a restored database other ids (RFC 8620 §1.6.2)."""

from collections.abc import Mapping
from pathlib import Path

from veredus.store.sqlite_connection import Connection
from veredus.wire.types import Id


def rename_accounts(path: Path, ids: Mapping[Id, Id]) -> None:
    """The records and the log of each account go on under its new id. Nobody else may use the file."""
    connection = Connection(str(path))
    try:
        connection.run("BEGIN IMMEDIATE")
        for old, new in ids.items():
            connection.run("UPDATE account SET id = ? WHERE id = ?", (new, old))
        connection.run("COMMIT")
    finally:
        connection.close()
