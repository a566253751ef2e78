"""What the MDN capability brings (RFC 9007)."""

from veredus.mail.mdn.parse import parse_method
from veredus.mail.mdn.send import SendMethod
from veredus.mail.submission.envelope import SubmissionLimits
from veredus.schema import Method


def mdn_methods(limits: SubmissionLimits, domain: str) -> tuple[Method, ...]:
    """MDN/send and MDN/parse. ``domain``: of generated Message-IDs."""
    return SendMethod(limits, domain).method(), parse_method()
