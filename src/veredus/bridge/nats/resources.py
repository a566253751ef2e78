"""The stream, the object store and the buckets: made as jmap2nats makes them, and kept as the operator likes.

Of a stream that is there, only what the settings say is changed; all else stays as somebody has set it.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from veredus.bridge.nats.errors import NAME_IN_USE, Misconfigured, Missing, NatsError, Refused
from veredus.bridge.nats.jetstream import Json, StreamInfo, create_stream, stream_info, update_stream
from veredus.bridge.nats.link import Link
from veredus.bridge.nats.message import check_bucket, check_stream, check_subject, covers

_SECOND = 1_000_000_000
# What the server makes of 0.
_DEFAULT_DEDUP_S = 120.0


class Resource(Struct, frozen=True):
    """``fixed`` holds for what is made anew, and decides nothing later; ``configured`` is kept so.
    ``subjects`` must be taken; there may be more."""

    name: str
    subjects: tuple[str, ...]
    configured: Json
    fixed: Json
    about: str


class Difference(Struct, frozen=True):
    """One line for ``bridge check``. ``kept``: it is not changed, since the operator may want it so."""

    resource: str
    field: str
    there: object
    wanted: object
    kept: bool


def stream(
    name: str,
    subject_prefix: str,
    *,
    max_age_s: float,
    max_bytes: int,
    dedup_window_s: float,
    replicas: int = 1,
) -> Resource:
    """A stream that drops the oldest when it is full. Raises BadName or Misconfigured."""
    check_stream(name)
    check_subject(subject_prefix)
    dedup_s = dedup_window_s or _DEFAULT_DEDUP_S
    if dedup_s > max_age_s > 0:
        if dedup_window_s:
            raise Misconfigured(f"stream {name}: dedup_window is longer than max_age, which NATS refuses")
        dedup_s = max_age_s
    return Resource(
        name=name,
        subjects=(f"{subject_prefix}.>",),
        configured={
            "max_age": round(max_age_s * _SECOND),
            "max_bytes": max_bytes,
            "duplicate_window": round(dedup_s * _SECOND),
            "num_replicas": replicas,
        },
        fixed={"retention": "limits", "discard": "old", "storage": "file"},
        about=f"stream {name}",
    )


def object_store(bucket: str, *, ttl_s: float, max_bytes: int, replicas: int = 1) -> Resource:
    """As nats.go makes one: it refuses what is new when it is full. Raises BadName."""
    check_bucket(bucket)
    return Resource(
        name=f"OBJ_{bucket}",
        subjects=(f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"),
        configured={"max_age": round(ttl_s * _SECOND), "max_bytes": max_bytes, "num_replicas": replicas},
        fixed={
            "retention": "limits",
            "discard": "new",
            "storage": "file",
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        },
        about=f"object store {bucket}",
    )


def key_value(bucket: str, *, replicas: int = 1) -> Resource:
    """As nats.go makes one, with a history of 1. Raises BadName."""
    check_bucket(bucket)
    return Resource(
        name=f"KV_{bucket}",
        subjects=(f"$KV.{bucket}.>",),
        configured={"num_replicas": replicas},
        fixed={
            "retention": "limits",
            "discard": "new",
            "storage": "file",
            "max_msgs_per_subject": 1,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_direct": True,
            "duplicate_window": round(_DEFAULT_DEDUP_S * _SECOND),
        },
        about=f"KV bucket {bucket}",
    )


async def ensure(link: Link, resource: Resource) -> StreamInfo:
    """Make it, or bring what is there to the settings. Raises Misconfigured and what JetStream refuses."""
    try:
        info = await stream_info(link, resource.name)
    except Missing:
        try:
            return await create_stream(link, _new(resource))
        except Refused as error:
            if error.code != NAME_IN_USE:
                raise _explained(resource, error) from None
            info = await stream_info(link, resource.name)  # another bridge was quicker
    wanted = _changed(info.config, resource)
    if wanted == info.config:
        return info
    try:
        return await update_stream(link, wanted)
    except Refused as error:
        raise _explained(resource, error) from None


async def look_up(link: Link, resource: Resource) -> StreamInfo:
    """For what somebody else manages: nothing is made and nothing changed.

    Raises Misconfigured when it is missing, or does not take our subjects.
    """
    try:
        info = await stream_info(link, resource.name)
    except Missing:
        raise Misconfigured(
            f"{resource.about} does not exist, and externally_managed is set: create it, or unset that"
        ) from None
    missing = _not_taken(info.config, resource)
    if missing:
        raise Misconfigured(
            f"{resource.about} is externally_managed and does not take {', '.join(missing)}: "
            f"its subjects are {', '.join(_subjects(info.config)) or 'none'}"
        )
    return info


async def drift(link: Link, resource: Resource) -> list[Difference] | None:
    """How what is there differs from what we would make; None when there is nothing."""
    try:
        config = (await stream_info(link, resource.name)).config
    except Missing:
        return None
    differences = [
        Difference(resource.about, field, config.get(field), value, field in resource.fixed)
        for field, value in {**resource.fixed, **resource.configured}.items()
        if config.get(field) != value
    ]
    if _not_taken(config, resource):
        there, wanted = _subjects(config), list(resource.subjects)
        differences.append(Difference(resource.about, "subjects", there, wanted, False))
    return differences


def _new(resource: Resource) -> Json:
    return {
        "name": resource.name,
        "subjects": list(resource.subjects),
        **resource.fixed,
        **resource.configured,
    }


def _changed(config: Json, resource: Resource) -> Json:
    missing = _not_taken(config, resource)
    subjects = [one for one in _subjects(config) if not any(covers(new, one) for new in missing)]
    return {**config, **resource.configured, **({"subjects": subjects + missing} if missing else {})}


def _not_taken(config: Json, resource: Resource) -> list[str]:
    return [
        subject
        for subject in resource.subjects
        if not any(covers(there, subject) for there in _subjects(config))
    ]


def _subjects(config: Mapping[str, object]) -> Sequence[str]:
    subjects = config.get("subjects")
    return [str(subject) for subject in subjects] if isinstance(subjects, list) else []


def _explained(resource: Resource, error: Refused) -> NatsError:
    return Misconfigured(f"{resource.about} cannot be made as the settings say: {error}")
