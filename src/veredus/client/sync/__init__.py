"""The client without async, under the same names: ``with Client.connect(…) as client``.

Each call blocks its thread, and several threads may share a client. It is what it is in ``veredus.client``,
run in a thread of its own. Written by tools/sync_client.py.
"""

from veredus.client.sync.batch import Batch as Batch
from veredus.client.sync.blobs import Download as Download
from veredus.client.sync.client import Client as Client
from veredus.client.sync.events import Complete as Complete
from veredus.client.sync.events import Created as Created
from veredus.client.sync.events import Destroyed as Destroyed
from veredus.client.sync.events import Resync as Resync
from veredus.client.sync.events import Updated as Updated
from veredus.client.sync.mail import Draft as Draft
from veredus.client.sync.mail import Mail as Mail
from veredus.client.sync.mail import Search as Search
from veredus.client.sync.query import Query as Query
from veredus.client.sync.replica import Replica as Replica
