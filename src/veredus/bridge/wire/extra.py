"""The headers that jmap2nats does not have: what happened, what is known of the mail, and CloudEvents.

CloudEvents in binary mode (their NATS binding 1.0.3, §3.1): each attribute is a ``ce-`` header, so every
message is a CloudEvent without a change of its payload. All of these may be left out; none begins with
``Nats-``.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from veredus.bridge.wire import times, values
from veredus.bridge.wire.change import Change, Difference, difference
from veredus.bridge.wire.schema import schema_of, uri
from veredus.wire.types import JsonObject

# §3.1.3.2: everything but printable ASCII, and of it blank, " and %, is percent-encoded.
_AS_IT_IS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_COMMENT = re.compile(r"\([^()]*\)")
_VERDICT = re.compile(r"[;\s](spf|dkim|dmarc)\s*=\s*([a-z]+)", re.IGNORECASE)
# Authentication-Results can be as long as its author likes; verdicts are at its beginning.
_MAX_RESULTS = 8192


def for_email(
    change: Change,
    msg_id: str,
    roles: Mapping[str, str] | None = None,
    traceparent: str = "",
) -> dict[str, str]:
    """The extra headers of a message on jmap.email, whose payload is ``email/1``.

    ``roles``: the role of each Mailbox that has one, by id.
    """
    about = _of_change(change, difference(change)) | email_facts(change.after or {}, roles or {})
    trace = {"traceparent": traceparent} if traceparent else {}
    return about | {"Jmap-Payload": "inline"} | trace | cloud_event(change, msg_id, "email/1")


def for_event(
    change: Change,
    diff: Difference | None,
    msg_id: str,
    roles: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The headers of a message on jmap.event, but for those of its Email."""
    headers = {"Jmap-Account-Id": change.source.account_id} | _of_change(change, diff)
    if change.id is not None:
        headers["Jmap-Id"] = change.id
    if change.type == "Email" and change.after is not None:
        headers |= email_facts(change.after, roles or {})
    return (
        headers | {"Jmap-Payload": "inline"} | cloud_event(change, msg_id, schema_of(change.type, change.op))
    )


def cloud_event(change: Change, msg_id: str, schema: str) -> dict[str, str]:
    """The CloudEvents attributes, percent-encoded. ``id`` is the Nats-Msg-Id: one per ``source``, too."""
    name, _, version = schema.partition("/")
    # The payload of jmap.email is another than that of jmap.event, so it has a type of its own.
    what = name if name == "email" else f"{change.type.lower()}.{change.op}"
    attributes = {
        "specversion": "1.0",
        "id": msg_id,
        "source": f"jmap://{change.source.server}/{change.source.account_id}",
        "type": f"io.jmap.{what}.v{version}",
        "subject": change.id or "",
        "time": times.utc(change.at),
        "dataschema": uri(schema),
        "datacontenttype": "application/json",
    }
    return {f"ce-{name}": quote(value, safe=_AS_IT_IS) for name, value in attributes.items() if value}


def email_facts(email: JsonObject, roles: Mapping[str, str]) -> dict[str, str]:
    """What filters like to know of an Email, where it can be told from the properties that were fetched."""
    mailbox_roles = sorted({roles[id] for id in values.flags(email.get("mailboxIds")) if id in roles})
    headers = {"Jmap-Mailbox-Roles": ",".join(mailbox_roles)} if mailbox_roles else {}
    if list_id := _list_id(email):
        headers["Jmap-List-Id"] = list_id
    # The last instance, which is what a form without :all has, may be the sender's own.
    if verdicts := _verdicts(next(_header(email, "Authentication-Results", all_only=True), "")):
        headers["Jmap-Auth"] = verdicts
    if "junk" in mailbox_roles or values.flags(email.get("keywords")).get("$junk"):
        headers["Jmap-Spam"] = "true"
    return headers


def _of_change(change: Change, diff: Difference | None) -> dict[str, str]:
    source = change.source
    headers = {
        "Jmap-Type": change.type,
        "Jmap-Op": change.op,
        "Jmap-Old-State": change.old_state or "",
        "Jmap-New-State": change.new_state,
        "Jmap-Server": source.server,
        "Jmap-Account-Name": source.account_name,
        "Jmap-Snapshot": "true" if change.op == "snapshot" else "",
    }
    if diff is not None:
        headers["Jmap-Changed"] = ",".join(diff.properties)
        for property, name in (("mailboxIds", "Mailbox"), ("keywords", "Keywords")):
            if found := diff.sets.get(property):
                headers |= {f"Jmap-{name}-Added": ",".join(found.added)}
                headers |= {f"Jmap-{name}-Removed": ",".join(found.removed)}
    return {name: value for name, value in headers.items() if value}


def _header(email: JsonObject, name: str, *, all_only: bool = False) -> Iterator[str]:
    """The values of a header field, from the top, whatever form of it was fetched (RFC 8621 §4.1.3).

    ``all_only``: not those that are only one instance of it.
    """
    for property, value in email.items():
        parts = property.split(":")
        is_it = parts[0] == "header" and len(parts) > 1 and parts[1].lower() == name.lower()
        if is_it and (parts[-1] == "all" or not all_only):
            yield from values.texts(value if isinstance(value, list) else [value])
    for field in values.objects(email.get("headers")):
        if field is not None and values.text(field.get("name")).lower() == name.lower():
            yield values.text(field.get("value"))


def _list_id(email: JsonObject) -> str:
    """What stands in the angle brackets of List-Id (RFC 2919); without brackets all of it."""
    value = next(_header(email, "List-Id"), "").strip()
    _, _, inside = value.rpartition("<")
    return inside.partition(">")[0].strip()


def _verdicts(results: str) -> str:
    """``spf=pass;dkim=fail;dmarc=none`` of the topmost Authentication-Results (RFC 8601).

    Lower down anybody may have written one; where the server of the account adds none, the topmost, too.
    Of several signatures one that passes is enough.
    """
    text = results[:_MAX_RESULTS]
    for _ in range(3):
        text = _COMMENT.sub(" ", text)
    found: dict[str, str] = {}
    for method, result in _VERDICT.findall(text):
        if found.get(method.lower()) != "pass":
            found[method.lower()] = result.lower()
    return ";".join(f"{method}={found[method]}" for method in ("spf", "dkim", "dmarc") if method in found)
