"""docs/conformance.md names the tests that are there, and each of them a section that is."""

from tools import conformance


def test_the_page_is_new() -> None:
    assert conformance.PAGE.read_text(encoding="utf-8") == conformance.page(), "run `make docs`"


def test_every_mark_names_a_section() -> None:
    assert conformance.unknown(conformance.proofs()) == []


def test_what_is_missing_is_missing_in_a_section() -> None:
    missing = [conformance.Proof(rfc, section, "MISSING", "", "") for rfc, section, _ in conformance.MISSING]
    assert conformance.unknown(missing) == []
