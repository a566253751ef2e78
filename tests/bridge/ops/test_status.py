"""When a bridge is ready, and what it says when it is not."""

import time

import pytest
from prometheus_client import CollectorRegistry

from veredus.bridge.monitor.metrics import BridgeMetrics
from veredus.bridge.status import AccountStatus, BridgeStatus, report

LONG_AGO = 1000.0


def working() -> BridgeStatus:
    """A bridge that reads one account, and has looked at it a moment ago."""
    status = BridgeStatus("one", "i", jmap_connected=True, nats_connected=True, transport="websocket")
    account = status.accounts["a"] = AccountStatus("a")
    account.active = True
    account.track("emails", "Email").caught_up("1")
    return status


def test_one_that_reads_is_ready() -> None:
    assert (working().problems(300), working().mode) == ([], "active")


def test_a_standby_is_ready_though_it_does_not_look() -> None:
    status = working()
    status.accounts["a"].active = False
    status.accounts["a"].track("emails", "Email").behind_since = time.monotonic() - LONG_AGO
    assert (status.problems(300), status.mode, status.lag_s) == ([], "standby", 0.0)


def test_a_paused_account_is_not_behind() -> None:
    status = working()
    status.accounts["a"].paused = True
    status.accounts["a"].track("emails", "Email").behind_since = time.monotonic() - LONG_AGO
    assert (status.problems(300), status.mode, status.lag_s) == ([], "paused", 0.0)


def test_what_waits_too_long_is_a_problem() -> None:
    status = working()
    status.accounts["a"].track("emails", "Email").behind_since = time.monotonic() - LONG_AGO
    assert status.problems(300) == ["account a, emails/Email: 1000 s behind"]
    assert status.problems(2000) == []


def test_a_piece_of_work_that_is_done_ends_the_lag() -> None:
    status = working()
    track = status.accounts["a"].track("emails", "Email")
    track.behind_since = time.monotonic() - LONG_AGO
    track.progressed()
    assert status.problems(300) == []


def test_polls_are_as_good_as_push_as_long_as_they_come() -> None:
    status = working()
    status.transport = None
    assert status.problems(300) == []
    status.accounts["a"].track("emails", "Email").moved_at = time.monotonic() - LONG_AGO
    assert status.problems(300) == [
        "account a, emails/Email: nothing pushes, and it was not looked at for 300 s"
    ]


@pytest.mark.parametrize(("side", "said"), [("jmap", "JMAP: HTTP 401"), ("nats", "NATS: not connected yet")])
def test_a_server_that_is_not_there_is_a_problem(side: str, said: str) -> None:
    status = working()
    setattr(status, f"{side}_connected", False)
    status.jmap_error = "HTTP 401"
    assert status.problems(300) == [said]


def test_an_account_that_cannot_begin_is_a_problem() -> None:
    status = working()
    status.accounts["a"].active = False
    status.accounts["a"].error = "Misconfigured: x"
    assert status.problems(300) == ["account a: Misconfigured: x"]


def test_the_report_tells_numbers_and_states() -> None:
    told = report(working(), 300)
    assert told["problems"] == []
    assert told["accounts"]["a"]["tracks"]["emails/Email"]["state"] == "1"
    assert told["accounts"]["a"]["mode"] == told["mode"] == "active"


@pytest.mark.parametrize("reads", [True, False])
def test_the_age_of_a_cursor_is_told_by_whoever_moves_it(reads: bool) -> None:
    """A standby that once read would else raise the alarm for ever."""
    status, registry = working(), CollectorRegistry()
    status.accounts["a"].active = reads
    BridgeMetrics(registry, [status])
    labels = {"bridge": "one", "account": "a", "type": "Email", "stream": "emails"}
    assert (registry.get_sample_value("bridge_checkpoint_age_seconds", labels) is not None) is reads
    assert registry.get_sample_value("bridge_lease_held", {"bridge": "one", "account": "a"}) == reads
