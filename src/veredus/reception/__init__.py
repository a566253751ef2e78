"""The sockets under SMTP and LMTP; the two edges differ in nothing but the role they name.

Nothing of a message is logged, and of an exception only its type and the places it passed.
"""

from veredus.formats.smtp import Envelope, Limits, Reply
from veredus.reception.delivery import Delivery, Reception, utc_now
from veredus.reception.server import Server

__all__ = ["Delivery", "Envelope", "Limits", "Reception", "Reply", "Server", "utc_now"]
