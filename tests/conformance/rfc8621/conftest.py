"""A user who sends."""

import pytest

from jmap import Jmap

SUBMISSION = "urn:ietf:params:jmap:submission"
VACATION = "urn:ietf:params:jmap:vacationresponse"


@pytest.fixture
async def sender(jmap: Jmap) -> Jmap:
    """The user of ``jmap``, whose requests use submission and vacation responses, too."""
    jmap.using += [SUBMISSION, VACATION]
    return jmap
