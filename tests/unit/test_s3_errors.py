"""What people are told when S3 does not do what it should; the texts are obstore's, shortened."""

import pytest

from veredus.blob.s3_errors import code_of, reason

FAILED = "Generic S3 error: Error performing PUT https://s3.example.com/b/x in 1.5ms - "
LOST = (
    FAILED + "HTTP error: error sending request\n\nDebug source:\nHttpError {\n    kind: %s,\n    source: %s"
)
ANSWERED = (
    FAILED + "Server returned non-2xx status code: %s: <Error><Code>%s</Code><Message>%s</Message></Error>"
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            LOST % ("Connect", 'Os { code: 111, message: "Connection refused" }'),
            "cannot be reached: Connection refused",
        ),
        (
            LOST % ("Connect", 'error: "failed to lookup address information: Name or service not known"'),
            "cannot be reached: Name or service not known",
        ),
        (
            LOST % ("Connect", "error: InvalidCertificate(\n        UnknownIssuer,"),
            "cannot be reached: its certificate is not trusted (UnknownIssuer)",
        ),
        (LOST % ("Timeout", "TimedOut"), "no answer in time"),
        (LOST % ("Request", "hyper::Error(IncompleteMessage)"), "the connection was lost"),
        (ANSWERED % ("404 Not Found", "NoSuchBucket", "The bucket …"), "there is no such bucket"),
        (
            ANSWERED % ("403 Forbidden", "SignatureDoesNotMatch", "The signature …"),
            "the credentials were refused (SignatureDoesNotMatch)",
        ),
        (
            FAILED + "Server returned non-2xx status code: 403 Forbidden: ",
            "the credentials were refused (403 Forbidden)",
        ),
        (
            ANSWERED % ("301 Moved Permanently", "PermanentRedirect", "Use the endpoint of eu-west-1."),
            "PermanentRedirect: Use the endpoint of eu-west-1.",
        ),
        (
            FAILED + "Server returned non-2xx status code: 502 Bad Gateway: <html>",
            "the server answered 502 Bad Gateway",
        ),
        ("Generic S3 error: something new\n\nDebug source: pages", "Generic S3 error: something new"),
    ],
)
def test_an_error_is_told_in_a_line(text: str, told: str) -> None:
    assert reason(text) == told


def test_a_range_beyond_the_end_is_known_by_its_status_alone() -> None:
    assert (
        code_of(FAILED + "Server returned non-2xx status code: 416 Range Not Satisfiable: ") == "InvalidRange"
    )
    assert code_of(FAILED + "Server returned non-2xx status code: 404 Not Found: ") is None
