"""S/MIME signatures: what is genuine, what is not, and whose certificates are believed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

import smime_peer as peer
from smime_peer import CONTENT, Cms, authority, between, clear, opaque, signer
from veredus.formats import smime
from veredus.formats.mime.message import parse
from veredus.formats.smime import Verdict
from veredus.formats.smime_trust import Trust

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TRUST = Trust([authority().certificate])
GOOD = Verdict("signed/verified")
CORPUS = Path(__file__).parents[4] / "shared" / "corpus" / "smime" / "thunderbird-smime"


def verdict(message: bytes, trust: Trust = TRUST, moment: datetime = NOW) -> Verdict:
    return smime.examine(parse(message)).verdict(trust, moment)


def fails_with(words: str, message: bytes, trust: Trust = TRUST, moment: datetime = NOW) -> None:
    found = verdict(message, trust, moment)
    assert found.status == "signed/failed"
    assert words in " ".join(found.errors), found.errors


SCHEMES = [
    ("rsa", "pkcs1", "sha256"),
    ("rsa", "pkcs1", "sha512"),
    ("rsa", "pss", "sha384"),
    ("ec", "", "sha256"),
    ("ec", "", "sha512"),
    ("ed25519", "", "sha512"),
]


@pytest.mark.parametrize(("kind", "scheme", "digest"), SCHEMES)
@pytest.mark.parametrize("has_attributes", [True, False])
@pytest.mark.parametrize("by_key_id", [True, False])
def test_every_way_to_sign_is_verified_and_a_change_is_noticed(
    kind: str, scheme: str, digest: str, has_attributes: bool, by_key_id: bool
) -> None:
    cms = Cms(
        by=signer(kind),
        digest=digest,
        scheme=scheme,
        has_attributes=has_attributes,
        by_key_id=by_key_id,
    )
    made = cms.encoded()
    assert verdict(clear(made)) == GOOD
    assert verdict(clear(made, CONTENT.replace(b"nothing", b"Nothing"))).status == "signed/failed"
    cms.is_detached = False
    assert verdict(opaque(cms.encoded())) == GOOD
    changed = cms.encoded().replace(b"nothing else", b"nothing more")
    assert verdict(opaque(changed)).status == "signed/failed"


def test_what_others_make_is_verified() -> None:
    by = signer("rsa")
    for options in ([], [pkcs7.PKCS7Options.NoCapabilities], [pkcs7.PKCS7Options.NoAttributes]):
        builder = (
            pkcs7.PKCS7SignatureBuilder()
            .set_data(CONTENT)
            .add_signer(by.certificate, by.key, hashes.SHA256())
        )
        detached = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary, *options]
        assert verdict(clear(builder.sign(Encoding.DER, detached))) == GOOD
        assert verdict(opaque(builder.sign(Encoding.DER, [pkcs7.PKCS7Options.Binary, *options]))) == GOOD


# What Thunderbird's own test expects of the outermost signature, except where its policy is not about the
# signature: it also refuses what is signed twice, or signed when it was encrypted already.
THUNDERBIRD = {
    "alice.dsig.SHA1.multipart.bad": "SHA1",
    "alice.dsig.SHA1.multipart.env": None,
    "alice.dsig.SHA512.multipart.bad": "changed",
    "alice.dsig.SHA512.multipart.env": None,
    "alice.env.dsig.SHA1.multipart.dave.sig.SHA1.opaque": "SHA1",
    "alice.env.dsig.SHA256.multipart.dave.sig.SHA256.opaque": "",
    # OpenSSL says the same of these two.
    "alice.env.dsig.SHA384.multipart": "changed",
    "alice.env.mixed.dsig.SHA256.multipart": "changed",
    "alice.env.sig.SHA1.opaque.dave.sig.SHA1.opaque": "SHA1",
    "alice.env.sig.SHA384.opaque": "",
    "alice.html.sig.SHA1.opaque.env": None,
    "alice.html.sig.SHA384.opaque": "",
    "alice.plain.dsig.SHA256.multipart.dave.dsig.SHA256.multipart": "",
    "alice.plain.dsig.SHA384.multipart.dave.sig.SHA384.opaque": "",
    "alice.plain.sig.SHA256.opaque.dave.dsig.SHA256.multipart": "",
    "alice.plain.sig.SHA256.opaque.dave.sig.SHA256.opaque": "",
    "alice.plain.sig.SHA384.opaque.dave.sig.SHA384.opaque": "",
}


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real messages is not here")
def test_messages_of_thunderbirds_tests_get_their_verdict() -> None:
    trust = Trust.of_pem((CORPUS / "TestCA.pem").read_bytes())
    found = {path.stem: path.read_bytes() for path in CORPUS.rglob("*.eml")}
    assert set(found) == set(THUNDERBIRD)
    for name, message in found.items():
        error = THUNDERBIRD[name]
        if error is None:
            assert verdict(message, trust) == Verdict(None), name
        elif error:
            fails_with(error, message, trust)
        else:
            assert verdict(message, trust) == GOOD, name
            assert verdict(message, Trust()) == Verdict("signed"), name
            fails_with("authority", message, TRUST)
            fails_with("expired on 2031-01-26", message, trust, datetime(2031, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_digests_of_which_two_messages_can_have_the_same_are_refused(digest: str) -> None:
    if digest == "md5":
        cms = (
            Cms(by=signer(), has_attributes=True)
            .encoded()
            .replace(peer.oid(peer.DIGESTS["sha256"]), peer.oid("2.16.840.1.101.3.4.2.9"))
        )
        fails_with("2.16.840.1.101.3.4.2.9 is not supported", clear(cms))
    fails_with(f"uses {digest.upper()}", clear(Cms(by=signer(), digest=digest).encoded()))


def test_a_short_key_is_refused() -> None:
    fails_with("only 1024 bits", clear(Cms(by=signer("rsa1024")).encoded()))


def test_the_sender_must_be_in_the_certificate() -> None:
    made = Cms(by=signer()).encoded()
    for sender in (
        "From: ALICE@Example.COM",
        "From: alice@example.com\r\nSender: eve@example.com",
        "From: eve@example.com <alice@example.com>",
    ):
        assert verdict(clear(made, sender=sender)) == GOOD, sender
    for sender in (
        "From: eve@example.com",
        "From: alice@example.com <eve@example.com>",
        "From: alice@example.com, eve@example.com",
        "From: alice@example.com\r\nFrom: eve@example.com",
        "From: eve@example.com\r\nFrom: alice@example.com",
        "From: nobody",
        "Sender: alice@example.com",
    ):
        fails_with("address", clear(made, sender=sender))
    fails_with("address", clear(Cms(by=signer(address=None)).encoded()))


def test_an_address_may_be_in_the_name_or_not_ascii() -> None:
    other = x509.OtherName(
        x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), peer.tlv(0x0C, "jürgen@example.com".encode())
    )
    by = signer(address=None, extensions=[x509.SubjectAlternativeName([other])])
    sent = clear(Cms(by=by).encoded(), sender="From: jürgen@example.com")
    assert verdict(sent) == GOOD


def test_a_chain_leads_to_an_authority_that_may_sign_certificates() -> None:
    middle = between(authority())
    by = signer(above=middle, usage=peer.MAIL)
    whole = Cms(by=by, certificates=[by.certificate, middle.certificate]).encoded()
    assert verdict(clear(whole)) == GOOD
    fails_with("does not lead", clear(Cms(by=by).encoded()))
    fails_with("does not lead", clear(whole), Trust([authority("Another").certificate]))
    assert verdict(clear(whole), Trust()) == Verdict("signed")

    impostor = between(authority(), is_authority=False)
    by = signer(above=impostor)
    fails_with("lead", clear(Cms(by=by, certificates=[by.certificate, impostor.certificate]).encoded()))

    # An authority that may have none below it.
    last = between(authority(), length=0)
    lower = between(last, "Lower")
    by = signer(above=lower)
    chain = [by.certificate, lower.certificate, last.certificate]
    fails_with("lead", clear(Cms(by=by, certificates=chain).encoded()))


def test_a_certificate_for_something_else_does_not_sign_mail() -> None:
    fails_with("not meant for signing mail", clear(Cms(by=signer(usage=peer.SERVER_AUTH)).encoded()))
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    fails_with("not meant for signing mail", clear(Cms(by=signer(extensions=[usage])).encoded()))


def test_a_verdict_is_of_a_moment_and_says_how_long_it_holds() -> None:
    message = clear(Cms(by=signer()).encoded())
    fails_with("not valid before 2026-01-01", message, moment=peer.FROM - timedelta(seconds=1))
    fails_with("expired on 2028-01-01", message, moment=peer.UNTIL + timedelta(seconds=1))
    examined = smime.examine(parse(message))
    assert examined.changes_at(TRUST, NOW) == peer.UNTIL
    after = examined.changes_at(TRUST, peer.UNTIL + timedelta(seconds=1))
    assert after == datetime(2040, 1, 1, tzinfo=UTC)
    assert examined.changes_at(TRUST, after + timedelta(seconds=1)) is None


def test_line_ends_that_were_changed_on_the_way_do_not_break_a_signature() -> None:
    message = clear(Cms(by=signer()).encoded())
    assert verdict(message.replace(b"\r\n", b"\n")) == GOOD


def test_one_good_signature_of_the_sender_is_enough() -> None:
    good, foreign = Cms(by=signer("ec")), Cms(by=signer("rsa", above=authority("Another")))
    both = good.encoded()
    for infos in ((good.signer_info(), foreign.signer_info()), (foreign.signer_info(), good.signer_info())):
        body = peer.tlv(
            0x30,
            peer.integer(1),
            peer.tlv(0x31),
            peer.tlv(0x30, peer.oid(peer.DATA)),
            peer.tlv(0xA0, *(one.by.certificate.public_bytes(Encoding.DER) for one in (good, foreign))),
            peer.tlv(0x31, *infos),
        )
        both = peer.tlv(0x30, peer.oid(peer.SIGNED_DATA), peer.tlv(0xA0, body))
        assert verdict(clear(both)) == GOOD


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("cannot be read", clear(b"no CMS")),
        ("cannot be read", clear(peer.enveloped())),
        ("cannot be read", opaque(b"\x30\x80")),
        ("another type", clear(Cms(by=signer(), claimed_type=peer.SIGNED_DATA).encoded())),
        ("of its own", clear(Cms(by=signer(), is_detached=False).encoded())),
        ("not in the message", opaque(Cms(by=signer()).encoded())),
        ("certificate is not in the message", clear(Cms(by=signer(), certificates=[]).encoded())),
        (
            "cannot be read",
            clear(
                Cms(
                    by=signer(),
                    more_attributes=[
                        peer.tlv(
                            0x30, peer.oid("1.2.840.113549.1.9.4"), peer.tlv(0x31, peer.tlv(0x04, b"x" * 32))
                        )
                    ],
                ).encoded()
            ),
        ),
        ("two parts", clear(Cms(by=signer()).encoded()).replace(b"pkcs7-signature; name", b"x; name")),
        ("two parts", clear(Cms(by=signer()).encoded(), CONTENT + b"\r\n--=_b\r\n\r\nand more")),
    ],
)
def test_what_is_no_signature_fails_and_says_why(words: str, message: bytes) -> None:
    fails_with(words, message)


def test_signed_attributes_are_not_taken_for_a_message() -> None:
    made = Cms(by=signer("ec"))
    attributes = peer.tlv(0x31, *sorted(made.attributes()))
    stolen = Cms(by=signer("ec"), content=attributes, has_attributes=False, is_detached=False)
    fails_with("something else", opaque(stolen.encoded()))


def test_what_is_not_signed_has_no_status() -> None:
    assert verdict(b"From: alice@example.com\r\n\r\nText.") == Verdict(None)
    assert verdict(opaque(peer.enveloped(), "enveloped-data")) == Verdict(None)
    inside = b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + clear(
        Cms(by=signer()).encoded()
    )
    assert verdict(inside) == Verdict(None)


def test_what_is_neither_signed_nor_encrypted_is_unknown() -> None:
    made = Cms(by=signer()).encoded()
    only_certificates = peer.tlv(
        0x30,
        peer.oid(peer.SIGNED_DATA),
        peer.tlv(
            0xA0,
            peer.tlv(
                0x30,
                peer.integer(1),
                peer.tlv(0x31),
                peer.tlv(0x30, peer.oid(peer.DATA)),
                peer.tlv(0xA0, signer().certificate.public_bytes(Encoding.DER)),
                peer.tlv(0x31),
            ),
        ),
    )
    assert verdict(opaque(only_certificates, "certs-only")) == Verdict("unknown")
    fails_with("no signature", clear(only_certificates))
    assert verdict(opaque(b"nonsense", "unheard-of")) == Verdict("unknown")
    openpgp = clear(made).replace(b"application/pkcs7-signature", b"application/pgp-signature")
    assert verdict(openpgp) == Verdict("unknown")


def test_a_file_of_authorities_must_hold_some() -> None:
    both = Trust.of_pem(peer.pem(authority(), authority("Another")))
    assert both.name == Trust.of_pem(peer.pem(authority("Another"), authority())).name
    assert both.name != TRUST.name != Trust().name
    with pytest.raises(ValueError, match="PEM"):
        Trust.of_pem(b"nothing")
