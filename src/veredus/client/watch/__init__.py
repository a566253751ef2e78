"""Watching what happens, each event at least once: push says when, /changes and /get say what."""

from veredus.client.watch.events import Complete as Complete
from veredus.client.watch.events import Created as Created
from veredus.client.watch.events import Destroyed as Destroyed
from veredus.client.watch.events import Event as Event
from veredus.client.watch.events import Resync as Resync
from veredus.client.watch.events import Updated as Updated
from veredus.client.watch.listing import CannotList as CannotList
