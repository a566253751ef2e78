"""A consumer: what it knows of an account from the stream of events alone."""

from typing import Any


class Replay:
    """``records``: type to id to record, as the last event left it. Differences must fit what was there."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        for event in events:
            self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        known = self.records.setdefault(event["type"], {})
        match event["op"]:
            case "created" | "snapshot":
                known[event["id"]] = event["after"]
            case "updated":
                self._check(known.get(event["id"]), event)
                known[event["id"]] = event["after"]
            case "destroyed":
                known.pop(event["id"], None)

    def _check(self, before: Any, event: dict[str, Any]) -> None:
        """No difference is lost, and none told twice."""
        if before is None or event["type"] != "Email":
            return
        after, diff = event["after"], event.get("diff", {})
        for name in ("keywords", "mailboxIds"):
            change = diff.get(name, {"added": [], "removed": []})
            assert set(after[name]) == (set(before[name]) - set(change["removed"])) | set(change["added"]), (
                event
            )
            assert not set(change["added"]) & set(before[name]), event
