"""What is wrong with several bridges of one file only because of each other: names, accounts, streams."""

from collections.abc import Iterator
from itertools import combinations, product

from veredus.bridge.config.checks import overlap
from veredus.bridge.config.errors import Findings
from veredus.bridge.config.grammar import shown
from veredus.bridge.settings import BridgeSettings


def check_together(bridges: list[BridgeSettings], findings: Findings) -> None:
    """Each problem and warning begins with the later one of two bridges."""
    for first, second in combinations(bridges, 2):
        label = f"bridge {shown(second.name)}: "
        findings.problems += [label + text for text in _problems(first, second)]
        if text := _warning(first, second):
            findings.warnings.append(label + text)


def _problems(first: BridgeSettings, second: BridgeSettings) -> Iterator[str]:
    if first.name == second.name:
        yield "there is another one of this name"
    if first.nats.url != second.nats.url:
        return
    if first.jmap.url == second.jmap.url and first.state_bucket == second.state_bucket:
        for account in first.jmap.accounts:
            if account in second.jmap.accounts and account != "*":
                yield (
                    f"{shown(first.name)} reads account {shown(account)}, too; "
                    "give one of them its own state_bucket"
                )
    for (one, taken), (other, prefix) in product(_streams(first), _streams(second)):
        if one == other and prefix != taken:
            why = "a stream has one prefix"
        elif one != other and overlap(prefix, taken):
            why = "no two streams may share subjects"
        else:
            continue
        yield (
            f"stream {shown(other)} takes {shown(prefix)}, and in bridge {shown(first.name)} "
            f"{shown(one)} takes {shown(taken)}: {why}"
        )


def _streams(bridge: BridgeSettings) -> list[tuple[str, str]]:
    """Those that the bridge writes, each with the prefix of its subjects."""
    streams = [(bridge.dlq.name, bridge.dlq.subject_prefix)]
    if bridge.stream.enabled:
        streams.append((bridge.stream.name, bridge.stream.subject_prefix))
    if bridge.events.enabled:
        streams.append((bridge.events.name, bridge.events.subject_prefix))
    return streams


def _warning(first: BridgeSettings, second: BridgeSettings) -> str:
    """An account id means something only on its own server."""
    if first.nats.url != second.nats.url or first.jmap.url == second.jmap.url:
        return ""
    both = {
        "stream.name": (first.stream.name, second.stream.name),
        "state_bucket": (first.state_bucket, second.state_bucket),
        "mailboxes_bucket": (first.mailboxes_bucket, second.mailboxes_bucket),
        "events.state_bucket": (
            first.events.state_bucket if first.events.enabled else None,
            second.events.state_bucket if second.events.enabled else "",
        ),
    }
    shared = " and ".join(key for key, (one, other) in both.items() if one == other and one is not None)
    return shared and (
        f"{shared} as in {shown(first.name)}: if their servers have accounts of the same id, "
        "these are taken for one"
    )
