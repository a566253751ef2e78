"""Thread: Emails that belong together (RFC 8621 §3)."""

from veredus.mail.mailbox_shape import CAPABILITY
from veredus.schema import DataType, Live, Object, ServerSet
from veredus.wire.types import Id


class Thread(Object, kw_only=True):
    """Properties of a Thread (§3)."""

    id: ServerSet[Id]
    email_ids: ServerSet[Live[list[Id]]]


THREAD = DataType(name="Thread", capability=CAPABILITY, shape=Thread, prefix="t", methods=("get", "changes"))
