"""Every extension there is. To add one: declare it in a file beside this, and name it here."""

from veredus.formats.sieve.catalogue import Catalogue
from veredus.formats.sieve.comparators import COMPARATORS
from veredus.formats.sieve.extensions import (
    base,
    body,
    comparing,
    date,
    duplicate,
    editheader,
    enotify,
    environment,
    filing,
    imap4flags,
    include,
    mime,
    reject,
    vacation,
    variables,
)
from veredus.formats.sieve.regex import AVAILABLE
from veredus.formats.sieve.signature import Extension

_COMPARATORS = tuple(Extension((f"comparator-{name}",)) for name in COMPARATORS)
CATALOGUE = Catalogue(
    (
        base.BASE,
        *_COMPARATORS,
        body.BODY,
        comparing.ENCODED_CHARACTER,
        comparing.ENVELOPE,
        comparing.INDEX,
        *((comparing.REGEX,) if AVAILABLE else ()),
        comparing.RELATIONAL,
        comparing.SUBADDRESS,
        date.DATE,
        duplicate.DUPLICATE,
        editheader.EDITHEADER,
        enotify.ENOTIFY,
        environment.ENVIRONMENT,
        environment.IHAVE,
        filing.COPY,
        filing.FILEINTO,
        filing.MAILBOX,
        filing.MAILBOXID,
        filing.SPECIAL_USE,
        imap4flags.IMAP4FLAGS,
        include.INCLUDE,
        mime.EXTRACTTEXT,
        mime.FOREVERYPART,
        mime.MIME_TESTS,
        reject.EREJECT,
        reject.REJECT,
        vacation.VACATION,
        vacation.VACATION_SECONDS,
        variables.VARIABLES,
    )
)
EXTENSIONS = tuple(sorted(CATALOGUE.capabilities))
