"""Being told that something has changed (RFC 8620 §7, RFC 8887): by WebSocket, event stream or polling.

A signal says only "look": what changed is in /changes.
"""

from veredus.client.push.push import Push as Push
from veredus.client.push.signals import Changed as Changed
from veredus.client.push.signals import Connected as Connected
from veredus.client.push.signals import Lost as Lost
from veredus.client.push.signals import Poll as Poll
from veredus.client.push.signals import PushPosition as PushPosition
from veredus.client.push.signals import Signal as Signal
from veredus.client.push.signals import Transport as Transport
from veredus.client.push.transport import Timing as Timing
