"""What obstore's errors say, in a line. Their own text has pages, and may hold what was signed."""

import re

_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_STATUS = re.compile(r"status code: (\d{3}[A-Za-z ]*)")
_KIND = re.compile(r"HttpError \{\s*kind: (\w+)")
_DETAIL = re.compile(r'(?:message|error): "([^"]+)"|(InvalidCertificate\(\s*\w+)')
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
# Where the credentials of a machine's role are asked for.
_ROLE = re.compile(r"/latest/(api/token|meta-data)|/v2/credentials")
_KINDS = {"Connect": "cannot be reached", "Timeout": "no answer in time"}
_NO_CREDENTIALS = (
    "no credentials - set blobs.access_key and blobs.secret_key, "
    "or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)


def code_of(text: str) -> str | None:
    """S3's own name of the error, if the server gave one."""
    match = _CODE.search(text)
    if match is not None:
        return match[1]
    return "InvalidRange" if "status code: 416" in text else None


def reason(text: str) -> str:
    """Why a request failed, and what may help."""
    if _ROLE.search(text):
        return _NO_CREDENTIALS
    code, status = code_of(text), _STATUS.search(text)
    answer = status[1].strip() if status else ""
    if code == "NoSuchBucket":
        return "there is no such bucket"
    if code in _DENIED or answer.startswith(("401", "403")):
        return f"the credentials were refused ({code or answer})"
    if code is not None:
        message = _MESSAGE.search(text)
        return f"{code}: {message[1]}" if message else code
    if answer:
        return f"the server answered {answer}"
    return _connection(text)


def _connection(text: str) -> str:
    kind, detail = _KIND.search(text), _DETAIL.search(text)
    if kind is None:
        return text.partition("\n")[0][:300]
    said = _KINDS.get(kind[1], "the connection was lost")
    if detail is None:
        return said
    if detail[2] is not None:
        return f"{said}: its certificate is not trusted ({detail[2].rpartition('(')[2].strip()})"
    return f"{said}: {detail[1].rpartition(': ')[2]}"
