"""The sockets under SMTP, LMTP and submission; the edges differ in the role they name, and in who logs in.

Nothing of a message is logged, and of an exception only its type and the places it passed.
"""

from veredus.formats.smtp import Envelope, Limits, Login, Reply, Wishes
from veredus.reception.delivery import Delivery, Reception, utc_now
from veredus.reception.gate import Gate, Submission
from veredus.reception.server import Server

__all__ = [
    "Delivery",
    "Envelope",
    "Gate",
    "Limits",
    "Login",
    "Reception",
    "Reply",
    "Server",
    "Submission",
    "Wishes",
    "utc_now",
]
