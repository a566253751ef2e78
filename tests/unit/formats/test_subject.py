"""Base subject (RFC 5256 §2.1)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.formats.subject import base_subject


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("hello", "hello"),
        ("Re: hello", "hello"),
        ("RE:hello", "hello"),
        ("Fwd: Re: FW: hello", "hello"),
        ("Re : hello", "hello"),
        ("Re[2]: hello", "hello"),
        ("Re: [list] hello", "hello"),
        ("[list] Re: hello", "hello"),
        ("[list] hello", "hello"),
        ("[a] [b] Re [c]: hello", "hello"),
        ("[only]", "[only]"),
        ("[a][b]", "[b]"),
        ("Re: [a]", "[a]"),
        ("hello (fwd)", "hello"),
        ("hello (fwd) (FWD)  ", "hello"),
        ("[fwd: hello]", "hello"),
        ("Re: [Fwd: Re: hello (fwd)] (fwd)", "hello"),
        ("[fwd: [fwd: hello]]", "hello"),
        ("[fwd: hello] world", "world"),
        ("  many\t spaces\r\n here ", "many spaces here"),
        ("Re:", ""),
        ("", ""),
        ("(fwd)", ""),
        ("research: results", "research: results"),
        ("Fwdx: hello", "Fwdx: hello"),
        ("[unclosed hello", "[unclosed hello"),
        ("re", "re"),
    ],
)
def test_what_replying_and_forwarding_add_is_left_out(subject: str, base: str) -> None:
    assert base_subject(subject) == base


@pytest.mark.parametrize(
    "subject",
    ["AW: WG: Bär", "Sv: Bär", "RV: TR: Bär", "回复：转发: Bär", "Re(3): Bär", "Re^2: Bär", "Απ: Bär"],
)
def test_prefixes_of_localised_clients_are_prefixes(subject: str) -> None:
    assert base_subject(subject) == "Bär"


def test_a_single_letter_is_no_prefix() -> None:
    assert base_subject("R: a language") == "R: a language"


def test_a_character_that_grows_in_lower_case_does_no_harm() -> None:
    assert base_subject("[Fwd: İstanbul]") in ("İstanbul", "[Fwd: İstanbul]")


@given(
    st.lists(st.sampled_from(["re", ":", "[", "]", "fwd", "[fwd:", "(fwd)", " ", "a", "İ", "fw: ", "[b]"]))
)
def test_a_base_subject_is_its_own(parts: list[str]) -> None:
    base = base_subject("".join(parts))
    assert base_subject(base) == base


@pytest.mark.parametrize("unit", ["[a]", "re:", "[fwd:", "(fwd)", "re [a", "[", "re[a]: [b] "])
def test_time_is_linear(unit: str) -> None:
    started = time.perf_counter()
    base_subject(unit * 40_000 + "]" * 40_000)
    assert time.perf_counter() - started < 3
