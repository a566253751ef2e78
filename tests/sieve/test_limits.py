"""Sieve bombs: whatever a script says, what it costs is bounded, and SieveError is all that compile raises."""

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sieve.running import environment, error_of, requiring, run
from tools import fuzz_sieve
from veredus.formats import sieve
from veredus.formats.mime.message import parse

# Generous: what is not bounded takes minutes, or all memory.
SECONDS = 10.0


def timed(work: Callable[[], sieve.Outcome]) -> sieve.Outcome:
    began = time.process_time()
    outcome = work()
    assert time.process_time() - began < SECONDS
    return outcome


def test_variables_do_not_grow_without_end() -> None:
    doubling = 'set "a" "${a}${a}${a}${a}${a}${a}${a}${a}"; ' * 200
    outcome = timed(lambda: run(requiring(f'set "a" "{"x" * 4000}"; {doubling} fileinto "${{a}}";')))
    assert outcome.error is None
    [stored] = outcome.actions
    assert isinstance(stored, sieve.FileInto)
    assert len(stored.mailbox) == sieve.Limits().max_variable


def test_a_string_of_many_variables_is_an_error() -> None:
    script = f'set "a" "{"x" * 8000}"; set "b" "{"${a}" * 10_000}";'
    assert "a string is longer than" in (timed(lambda: run(requiring(script))).error or "")


def test_a_list_of_many_strings_costs_steps() -> None:
    strings = ", ".join(['"${a}${a}${a}${a}"'] * 30_000)
    script = f'set "a" "{"x" * 8000}"; if header :contains "subject" [{strings}] {{ stop; }}'
    assert "steps" in (timed(lambda: run(requiring(script))).error or "")


def test_there_are_only_so_many_variables() -> None:
    script = "".join(f'set "v{number}" "x";' for number in range(300))
    assert run(requiring(script)).error == "line 2: more than 256 variables"


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 500 + "b",
        "*" * 5000 + "b",
        "*?a" * 80 + "b",
        "*" + "?a" * 120 + "b",
        "a*" * 1000,
        "*?" * 3000 + "b",
    ],
)
def test_stars_are_matched_without_backtracking(pattern: str) -> None:
    message = b"Subject: x\r\n\r\n" + b"a" * 2_000_000
    outcome = timed(lambda: run(requiring(f'if body :raw :matches "{pattern}" {{ discard; }}'), message))
    assert outcome.actions


def test_lists_of_names_cost_steps_in_loops() -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 5000 + b"--b--\r\n"
    many = ", ".join(f'"x{number}"' for number in range(20_000))
    for test in (f"exists [{many}]", f'header :contains "subject" [{many}]', f"mailboxexists [{many}]"):
        script = requiring(f"foreverypart {{ if not {test} {{ }} }}")
        assert timed(lambda script=script: run(script, b"Subject: y\r\n" + message)).actions


def test_flags_are_bounded() -> None:
    script = f'addflag "{" ".join(map(str, range(300)))}";'
    assert run(requiring(script)).error == "line 2: more than 256 flags"


def test_copies_of_an_edited_message_are_bounded() -> None:
    script = "".join(f'addheader "X-A" "x"; fileinto "{number}";' for number in range(9))
    assert "the header is edited between more than 5 actions" in (run(requiring(script)).error or "")
    sizes = 'addheader "X-A" "x"; if size :over 1 {}' * 2000
    assert timed(lambda: run(requiring(sizes), b"A: b\r\n\r\n" + b"x" * 5_000_000)).actions


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+$", "(.*)*x(.*)*y", "((a{1,30}){1,30})b", "(a?){50}a{50}b"]
)
def test_an_evil_regex_takes_linear_time(pattern: str) -> None:
    message = b"Subject: x\r\n\r\n" + b"a" * 500_000
    test = f'body :raw :regex "{pattern}"'
    assert timed(lambda: run(requiring(f"if {test} {{ discard; }}"), message)).actions


def test_a_regex_is_bounded_in_size() -> None:
    for pattern in ("x" * 3000, "((a{1,900}){1,900}){1,900}", "(" * 1500):
        assert "regular expression" in error_of(requiring(f'if header :regex "subject" "{pattern}" {{}}'))


def test_deep_nesting_is_refused() -> None:
    assert "nested more than 32 deep" in error_of("if true {" * 5000)
    assert "nested more than 32 deep" in error_of("if " + "not " * 5000 + "true {}")
    assert "nested more than 32 deep" in error_of("if " + "allof(" * 5000 + "true {}")
    deep = "if true {" * 32 + "discard;" + "}" * 32
    assert run(deep).actions == (sieve.Discard(),)


def test_scripts_nested_as_deep_as_may_be_run() -> None:
    message = b"A: b\r\n\r\n"
    scripts = {
        str(number): sieve.compile(
            requiring(
                "if "
                + "anyof(false, " * 30
                + "true"
                + ")" * 30
                + f' {{ include :optional "{number + 1}"; addflag "x{number}"; }}'
            )
        )
        for number in range(1, 6)
    }
    outcome = run(requiring('include "1";'), message, include=lambda name, where: scripts.get(name))
    assert outcome.actions == (sieve.Keep(("x5", "x4", "x3", "x2", "x1")),)
    blocks = {
        str(number): sieve.compile(
            requiring("if true {" * 32 + f'include :optional "{number + 1}"; addflag "y";' + "}" * 32)
        )
        for number in range(1, 6)
    }
    outcome = run(requiring('include "1";'), message, include=lambda name, where: blocks.get(name))
    assert (outcome.actions, outcome.error) == ((sieve.Keep(("y",)),), None)


def test_a_script_is_bounded_in_size() -> None:
    assert error_of("#" * 2_000_000) == "line 1, column 1: the script is longer than 1048576 characters"
    with pytest.raises(sieve.SieveError):
        sieve.compile("keep;" * 10, sieve.Limits(max_size=20))


def test_a_run_ends_after_its_steps() -> None:
    outcome = run("if false {}" * 500, max_steps=100)
    assert outcome.error == "line 1: the script does more than 100 steps"
    assert outcome.steps == 101
    tests = ", ".join(["true"] * 500)
    assert "100 steps" in (run(f"if allof ({tests}) {{ discard; }}", max_steps=100).error or "")


def test_included_scripts_count_their_steps_together_and_nest_only_so_deep() -> None:
    """Each includes the next one eight times over: 8 ** 5 runs of the last, were it not for the steps."""
    scripts = {
        str(number): sieve.compile(f'require "include";{f"""include "{number + 1}";""" * 8}')
        for number in range(9)
    }
    outcome = timed(lambda: run(requiring('include "1";'), include=lambda name, where: scripts.get(name)))
    assert "include each other more than 5 deep" in (outcome.error or "")
    scripts["5"] = sieve.compile("keep;")
    outcome = timed(lambda: run(requiring('include "1";'), include=lambda name, where: scripts.get(name)))
    assert "more than 10000 steps" in (outcome.error or "") or "actions" in (outcome.error or "")


def test_redirects_are_bounded_by_their_addresses() -> None:
    script = requiring("".join(f'redirect :copy "a{number}@x.example";' for number in range(6)))
    assert run(script).error == "line 2: more than 5 redirects"
    assert len(run(script, max_redirects=6).actions) == 7
    assert run('redirect "a@x.example";', max_redirects=0).error == "line 1: more than 0 redirects"


def test_actions_are_bounded() -> None:
    script = requiring("".join(f'fileinto "{number}";' for number in range(70)))
    assert run(script).error == "line 2: more than 64 actions"


def test_added_header_fields_are_bounded() -> None:
    script = requiring(f'addheader "X-A" "{"x " * 2000}";' * 20)
    assert "addheader adds more than" in (run(script).error or "")


def test_large_lists_against_large_headers_cost_steps() -> None:
    message = b"".join(b"X-A: " + b"y" * 900 + b"\r\n" for _ in range(2000)) + b"\r\n"
    keys = ", ".join(f'"k{number}"' for number in range(5000))
    outcome = timed(lambda: run(requiring(f'if header :contains "x-a" [{keys}] {{ stop; }}'), message))
    assert "steps" in (outcome.error or "")


def test_loops_over_many_parts_cost_steps() -> None:
    parts = b"--b\r\n\r\nx\r\n" * 5000
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n"
    script = 'foreverypart { foreverypart { addflag "x"; } }'
    outcome = timed(lambda: run(requiring(script), message))
    assert "steps" in (outcome.error or "")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([word.decode() for word in fuzz_sieve.WORDS]), max_size=25),
    st.binary(max_size=80),
)
def test_words_of_the_language_in_any_order_do_no_harm(words: list[str], message: bytes) -> None:
    for script in ("".join(words), requiring("".join(words))):
        fuzz_sieve.target(script.encode() + b"\n%%\n" + message)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_text_is_compiled_or_a_sieve_error(text: str, message: bytes) -> None:
    try:
        script = sieve.compile(text)
    except sieve.SieveError:
        return
    assert sieve.run(script, parse(message), environment()).actions


def test_the_seeds_of_the_fuzzer_still_run() -> None:
    for data in fuzz_sieve.seeds():
        fuzz_sieve.target(data)
