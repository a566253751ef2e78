"""All data types and methods, and the tables that their records need."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from veredus import __version__
from veredus.auth.tables import SYSTEM
from veredus.auth.tables import TABLES as AUTH_TABLES
from veredus.auth.tickets import CAPABILITY as TICKET_CAPABILITY
from veredus.auth.tickets import capability as ticket_capability
from veredus.blobs.methods import CAPABILITY as BLOB_CAPABILITY
from veredus.blobs.methods import account_capability as blob_capability
from veredus.blobs.methods import blob_methods
from veredus.config.settings import Config
from veredus.delivery.tables import TABLE as REMEMBERED_TABLE
from veredus.domains.domains import TABLE as DOMAIN_TABLE
from veredus.engine.blobs import UPLOADS, load
from veredus.engine.core import BLOB_COPY
from veredus.engine.filters import compile_filter, filter_of_call
from veredus.engine.registry import Registry
from veredus.engine.session import Capability, Located
from veredus.formats.sieve import EXTENSIONS
from veredus.formats.smime_trust import Trust
from veredus.mail import outbox
from veredus.mail.email.admit import Admission, EmailLimits
from veredus.mail.email.body import part_reader
from veredus.mail.email.smime import CAPABILITY as SMIME_CAPABILITY
from veredus.mail.email.smime import Signatures
from veredus.mail.email.type import account_capability, email_type
from veredus.mail.identity import identity_type
from veredus.mail.mailbox import MailboxLimits, mailbox_type
from veredus.mail.mailbox_shape import CAPABILITY as MAIL_CAPABILITY
from veredus.mail.mdn.methods import mdn_methods
from veredus.mail.mdn.shape import CAPABILITY as MDN_CAPABILITY
from veredus.mail.retention_rule import FOUND as RETENTION_FOUND
from veredus.mail.retention_rule import RETENTION_RULE
from veredus.mail.snippet import SnippetMethod
from veredus.mail.submission.envelope import SubmissionLimits
from veredus.mail.submission.type import account_capability as submission_capability
from veredus.mail.submission.type import submission_type
from veredus.mail.thread import THREAD
from veredus.mail.undelete import Undelete
from veredus.mail.vacation import VACATION_RESPONSE
from veredus.outgoing.records import TABLES as OUTGOING_TABLES
from veredus.ports import BlobStore, Table
from veredus.push.web.email_push import CAPABILITY as EMAIL_PUSH_CAPABILITY
from veredus.push.web.email_push import EmailPushChecks
from veredus.push.web.records import TABLES as PUSH_TABLES
from veredus.push.web.subscriptions import PushSubscriptions
from veredus.push.web.vapid import CAPABILITY as VAPID_CAPABILITY
from veredus.push.web.vapid import TABLE as VAPID_TABLE
from veredus.quota.type import QUOTA, charge
from veredus.schema import DataType, Method
from veredus.scripts.content import compiler
from veredus.scripts.type import ScriptLimits, sieve_script_type
from veredus.wire.websocket import CAPABILITY as WEBSOCKET_CAPABILITY
from veredus.wire.websocket import capability as websocket_capability

# Capabilities of which a session gives URLs.
LOCATED: Located = {TICKET_CAPABILITY: ticket_capability, WEBSOCKET_CAPABILITY: websocket_capability}


def build_registry(config: Config, blobs: BlobStore, extra: Sequence[DataType]) -> tuple[Registry, Admission]:
    """All data types and methods."""
    limits = config.limits
    email_limits = EmailLimits(
        limits.max_mailboxes_per_email, limits.max_keywords_per_email, limits.max_size_attachments_per_email
    )
    admission = Admission(blobs, charge, email_limits, Signatures(_trust(config)))
    mailbox_limits = MailboxLimits(limits.max_mailbox_depth, limits.max_size_mailbox_name)
    reader = part_reader(blobs, load)
    capability = account_capability(admission, mailbox_limits.max_depth, mailbox_limits.max_name_size)
    undelete = Undelete(admission, timedelta(seconds=config.retention.destroyed))
    email = email_type(admission, reader, config.hostname, capability, undelete.keep_changed)
    types = [
        mailbox_type(mailbox_limits, charge, undelete.keep),
        THREAD,
        email,
        QUOTA,
        undelete.data_type(),
        RETENTION_RULE,
        *_submission(config),
        _sieve_script(config),
        *extra,
    ]
    methods: list[tuple[str, Method]] = [
        ("urn:ietf:params:jmap:core", BLOB_COPY),
        (MAIL_CAPABILITY, SnippetMethod(filter_of_call, email, reader).method()),
        *((BLOB_CAPABILITY, method) for method in blob_methods()),
        *((MDN_CAPABILITY, method) for method in mdn_methods(_submission_limits(config), config.hostname)),
        *PushSubscriptions(
            SYSTEM,
            partial(_push_url_problem, config.push.allow),
            EmailPushChecks(email, compile_filter),
            config.push.max_subscriptions,
        ).methods(),
    ]
    capabilities = {
        BLOB_CAPABILITY: Capability({}, blob_capability(limits.max_size_upload, types)),
        EMAIL_PUSH_CAPABILITY: Capability({}, {}),
        MDN_CAPABILITY: Capability({}, {}),
        SMIME_CAPABILITY: Capability({}, {}),
        **dict.fromkeys((*LOCATED, VAPID_CAPABILITY), Capability({}, None)),
    }
    return Registry(types, methods, capabilities), admission


def _trust(config: Config) -> Trust:
    path = config.mail.smime_ca_file
    return Trust() if path is None else Trust.of_pem(path.read_bytes())


def _sieve_script(config: Config) -> DataType:
    sieve = config.sieve
    limits = ScriptLimits(sieve.max_scripts, sieve.max_size, sieve.max_redirects)
    return sieve_script_type(limits, compiler(limits.max_size), EXTENSIONS, f"Veredus {__version__}")


def _submission(config: Config) -> list[DataType]:
    """Identity, EmailSubmission and VacationResponse."""
    limits = _submission_limits(config)
    return [
        identity_type(limits.separator, submission_capability(limits)),
        submission_type(limits),
        VACATION_RESPONSE,
    ]


def _submission_limits(config: Config) -> SubmissionLimits:
    outgoing = config.outgoing
    return SubmissionLimits(
        max_size=outgoing.max_size,
        max_recipients=outgoing.max_recipients,
        max_delay_s=int(outgoing.max_delay),
        is_open=outgoing.url != "off",
        separator=config.mail.subaddress_separator or "",
    )


def _push_url_problem(allow: Sequence[str], url: str) -> str | None:
    """Why a push URL would not be called; None: it may be."""
    from veredus.push.web.target import Blocked, Guard  # noqa: PLC0415 - see push.service

    try:
        Guard(allow).check_url(url)
    except Blocked as error:
        return str(error)
    return None


def tables_of(registry: Registry) -> list[Table]:
    return [
        *registry.tables(),
        *AUTH_TABLES,
        UPLOADS,
        outbox.TABLE,
        RETENTION_FOUND,
        VAPID_TABLE,
        *PUSH_TABLES,
        *OUTGOING_TABLES,
        DOMAIN_TABLE,
        REMEMBERED_TABLE,
    ]
