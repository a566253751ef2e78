"""Blob/upload, Blob/get and Blob/lookup (RFC 9404), and what the session says of them."""

from collections.abc import Sequence

from veredus.blobs.get import DIGESTS, GetBlobArguments, get
from veredus.blobs.lookup import LookupArguments, lookup, supported
from veredus.blobs.upload import MAX_SOURCES, UploadArguments, upload
from veredus.schema import DataType, JsonObject, Method

CAPABILITY = "urn:ietf:params:jmap:blob"


def account_capability(max_size: int, types: Sequence[DataType]) -> JsonObject:
    """``urn:ietf:params:jmap:blob`` of an account (§3.1). ``max_size``: maxSizeUpload, in octets."""
    return {
        "maxSizeBlobSet": max_size,
        "maxDataSources": MAX_SOURCES,
        "supportedTypeNames": supported(types),
        "supportedDigestAlgorithms": list(DIGESTS),
    }


def blob_methods() -> tuple[Method, ...]:
    """The three methods of §4."""
    return (
        Method("Blob/upload", UploadArguments, upload, writes=True),
        Method("Blob/get", GetBlobArguments, get),
        Method("Blob/lookup", LookupArguments, lookup),
    )
