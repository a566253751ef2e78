"""The settings of how mail comes in, what is done with it, and how it goes out: see ``settings``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from veredus.config import checks
from veredus.config.kinds import KIB, MIB, Duration, Size
from veredus.config.setting import Setting, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """SMTP reception for local accounts (RFC 5321) from other hosts. Nothing is relayed."""

    listen: Annotated[
        tuple[str, ...], Setting("Addresses to listen on. Empty: no SMTP.", check=checks.address)
    ] = ()
    max_size: Annotated[
        Size,
        limit("The largest message that SMTP and LMTP take, announced with SIZE (RFC 1870)."),
    ] = Size(50 * MIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lmtp:
    """LMTP delivery from a mail transfer agent (RFC 2033)."""

    listen: Annotated[
        tuple[str, ...], Setting("Addresses to listen on. Empty: no LMTP.", check=checks.address)
    ] = ("127.0.0.1:2424",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """Message submission by SMTP (RFC 6409): users log in and send from their own addresses."""

    listen: Annotated[
        tuple[str, ...],
        Setting(
            "Addresses to listen on, such as `0.0.0.0:587`; clients must use STARTTLS, except over loopback. "
            "Empty: none.",
            check=checks.address,
        ),
    ] = ()
    tls_listen: Annotated[
        tuple[str, ...],
        Setting("The same with TLS from the first octet, such as `0.0.0.0:465`.", check=checks.address),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """Where mail goes that users send, and how long it is tried."""

    url: Annotated[
        str,
        Setting(
            "`mx`: to the hosts that DNS names. `smtp://user:password@host:587` (STARTTLS) or `smtps://` "
            "(TLS at once): everything to this smart host. `local`: to accounts of this server only. "
            "`off`: nobody may send.",
            check=checks.outgoing_url,
        ),
    ] = "mx"
    tls: Annotated[
        Literal["opportunistic", "required"],
        Setting(
            "`opportunistic`: other hosts are sent to without TLS if they do not offer it, unless DANE or "
            "MTA-STS say otherwise. `required`: never without a certificate that is good."
        ),
    ] = "opportunistic"
    ca_file: Annotated[
        Path | None, Setting("PEM file with certification authorities to trust besides the system's.")
    ] = None
    port: Annotated[
        int, Setting("The port of hosts that DNS names; for tests.", minimum=1, maximum=65535)
    ] = 25
    connections: Annotated[
        int, Setting("Connections to one destination at a time.", minimum=1, maximum=100)
    ] = 10
    max_size: Annotated[Size, limit("The largest message that may be sent.")] = Size(50 * MIB)
    max_recipients: Annotated[int, limit("Recipients of one message.")] = 1000
    max_delay: Annotated[
        Duration,
        Setting(
            "How far in the future a message may be sent (maxDelayedSend, RFC 8621 §1.3.2; FUTURERELEASE). "
            "`0s`: not at all, and no sending can be undone.",
            minimum=0,
            maximum=366 * 86_400,
        ),
    ] = Duration(30 * 86_400)
    retry_first: Annotated[
        Duration,
        Setting(
            "Before the second attempt at a destination; each further pause is twice as long.", minimum=1
        ),
    ] = Duration(300)
    retry_longest: Annotated[Duration, Setting("The longest pause between two attempts.", minimum=1)] = (
        Duration(4 * 3600)
    )
    warn_after: Annotated[
        Duration | None,
        Setting("When the sender is told that a message is late. `none`: never.", minimum=1),
    ] = Duration(4 * 3600)
    give_up_after: Annotated[
        Duration,
        Setting(
            "How long a message is tried before it goes back to its sender (RFC 5321 §4.5.4.1).", minimum=1
        ),
    ] = Duration(5 * 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What is checked of mail that arrives."""

    check_senders: Annotated[
        Literal["off", "smtp", "all"],
        Setting(
            "Where SPF, DKIM and DMARC are checked and written down as Authentication-Results: of what comes "
            "by SMTP, of all, or not at all. It needs the extra `checks`."
        ),
    ] = "off"
    enforce_dmarc: Annotated[
        bool,
        Setting(
            "Whether mail that fails DMARC is treated as its domain asks: refused, or put into Junk. Else it "
            "is only written down."
        ),
    ] = True
    spam_url: Annotated[
        str | None,
        Setting(
            "Who tells spam: `rspamd://host:11333` or `spamd://host:783` (SpamAssassin). Not set: nobody.",
            check=checks.spam_url,
        ),
    ] = None
    max_hops: Annotated[
        int,
        Setting("Received fields after which mail is taken to run in a circle.", minimum=10, maximum=1000),
    ] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Sieve:
    """What scripts of users may do (RFC 5228, RFC 9661)."""

    max_scripts: Annotated[int, limit("Scripts of one account (maxNumberScripts).")] = 50
    max_size: Annotated[Size, limit("The largest script (maxSizeScript).")] = Size(256 * KIB)
    max_redirects: Annotated[
        int, Setting("Redirects of one message (maxNumberRedirects).", minimum=0, maximum=100)
    ] = 5
    max_steps: Annotated[int, limit("Tests and commands that a script may run for one message.", 100)] = (
        10_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long what was destroyed can be brought back."""

    destroyed: Annotated[
        Duration,
        Setting(
            "How long destroyed Emails are kept for their owner to restore. `0s`: not at all.",
            minimum=0,
            maximum=3660 * 86_400,
        ),
    ] = Duration(7 * 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dns:
    """Who is asked for names: hosts that take mail, policies, keys."""

    servers: Annotated[
        tuple[str, ...],
        Setting(
            "Resolvers as `host:port` or `[ipv6]:port`. Empty: those of the system. DANE needs one that "
            "checks DNSSEC and is trusted, so best on this machine.",
            check=checks.numeric_address,
        ),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """How addresses are understood."""

    subaddress_separator: Annotated[
        str | None,
        Setting(
            "In `user+tag@host`, what stands between the user and the tag (RFC 5233). "
            "`none`: no sub-addresses.",
            check=checks.separator,
        ),
    ] = "+"
    smime_ca_file: Annotated[
        Path | None,
        Setting(
            "PEM file with the certification authorities whose S/MIME certificates are believed (RFC 9219). "
            "Not set: signatures are checked, but no sender is verified."
        ),
    ] = None
