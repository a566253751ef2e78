"""A JMAP client (RFC 8620, RFC 8621) for any server. Without async: ``veredus.client.sync``."""

from veredus.client.client import Client
from veredus.client.credentials import Basic, Bearer, Credentials, TokenFile
from veredus.client.cursors import Cursor, CursorError, FileCursor, MemoryCursor, SqliteCursor
from veredus.client.discovery import DiscoveryError
from veredus.client.errors import (
    JMAPError,
    LimitError,
    MethodError,
    NotFetchedError,
    NotSentError,
    NotSupported,
    ProtocolError,
    RequestError,
    TransportError,
    Unauthorized,
)
from veredus.client.mail import Draft, Mail, NotFound, Search
from veredus.client.mail_types import Email, EmailAddress, EmailBodyPart, Identity, Mailbox, Thread
from veredus.client.push import Push
from veredus.client.query import Query
from veredus.client.record import Record
from veredus.client.replica import Replica, ReplicaError
from veredus.client.results import Changes, Got, SetErrors, SetResult, Uploaded
from veredus.client.search import SearchError, UnknownMailbox
from veredus.client.session import Session
from veredus.client.watch import CannotList, Complete, Created, Destroyed, Event, Resync, Updated

__all__ = [
    "Basic",
    "Bearer",
    "CannotList",
    "Changes",
    "Client",
    "Complete",
    "Created",
    "Credentials",
    "Cursor",
    "CursorError",
    "Destroyed",
    "DiscoveryError",
    "Draft",
    "Email",
    "EmailAddress",
    "EmailBodyPart",
    "Event",
    "FileCursor",
    "Got",
    "Identity",
    "JMAPError",
    "LimitError",
    "Mail",
    "Mailbox",
    "MemoryCursor",
    "MethodError",
    "NotFetchedError",
    "NotFound",
    "NotSentError",
    "NotSupported",
    "ProtocolError",
    "Push",
    "Query",
    "Record",
    "Replica",
    "ReplicaError",
    "RequestError",
    "Resync",
    "Search",
    "SearchError",
    "Session",
    "SetErrors",
    "SetResult",
    "SqliteCursor",
    "Thread",
    "TokenFile",
    "TransportError",
    "Unauthorized",
    "UnknownMailbox",
    "Updated",
    "Uploaded",
]
