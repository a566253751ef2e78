"""A copy of an account in an SQLite file: kept up to date, and read without the server."""

from veredus.client.replica.errors import ReplicaError as ReplicaError
from veredus.client.replica.replica import Replica as Replica
from veredus.client.replica.replica import Synced as Synced
