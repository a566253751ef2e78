"""VacationResponse: what answers while a user is away (RFC 8621 §8)."""

import re
from datetime import datetime

import msgspec

from veredus.ports import Snapshot, Transaction
from veredus.schema import SINGLETON, Access, DataType, Hooks, Object, ServerSet
from veredus.wire.errors import SetError
from veredus.wire.types import Id, JsonObject, UTCDate

CAPABILITY = "urn:ietf:params:jmap:vacationresponse"
TYPE = "VacationResponse"
# They would end the Subject field early.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class VacationResponse(Object):
    """Properties of a VacationResponse (§8)."""

    id: ServerSet[Id] = SINGLETON
    is_enabled: bool = False
    from_date: UTCDate | None = None
    to_date: UTCDate | None = None
    subject: str | None = None
    text_body: str | None = None
    html_body: str | None = None

    def answers(self, at: datetime) -> bool:
        """Whether a message that arrives at that time is answered."""
        begins = None if self.from_date is None else _moment(self.from_date)
        ends = None if self.to_date is None else _moment(self.to_date)
        return self.is_enabled and (begins is None or begins <= at) and (ends is None or at < ends)


class VacationHooks(Hooks):
    """What the shape of a VacationResponse cannot say."""

    async def check_update(self, ctx: Access, tx: Transaction, old: JsonObject, new: JsonObject) -> None:
        bad = [
            name for name in ("fromDate", "toDate") if new[name] is not None and _moment(new[name]) is None
        ]
        if bad:
            raise SetError.invalid_properties(bad, "There is no such day.")
        if new["fromDate"] is not None and new["toDate"] is not None:
            begins, ends = _moment(new["fromDate"]), _moment(new["toDate"])
            if begins is not None and ends is not None and begins >= ends:
                raise SetError.invalid_properties(["fromDate", "toDate"], "toDate must be after fromDate.")
        if new["subject"] is not None and _CONTROL.search(new["subject"]):
            raise SetError.invalid_properties(["subject"], "A subject is one line.")


def _moment(date: str) -> datetime | None:
    """A UTCDate as a time; None: a day that the calendar does not have, or a leap second."""
    try:
        return datetime.fromisoformat(date)
    except ValueError:
        return None


async def load(snapshot: Snapshot) -> VacationResponse:
    """The account's; it need not have been written ever."""
    found = await snapshot.get(TYPE, [SINGLETON])
    return msgspec.convert(found[0], VacationResponse) if found else VacationResponse()


VACATION_RESPONSE = DataType(
    name=TYPE,
    capability=CAPABILITY,
    shape=VacationResponse,
    prefix="v",
    methods=("get", "set"),
    hooks=VacationHooks(),
    is_singleton=True,
)
