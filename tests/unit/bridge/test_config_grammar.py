"""Durations and sizes: what Go and jmap2nats take, and how they print it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veredus.bridge.config.grammar import format_duration, format_size, parse_duration, parse_size

# From the tables of Go's own tests of package time, and those of jmap2nats's documentation.
DURATIONS = [
    ("0", 0.0), ("+0", 0.0), ("-0", 0.0), ("0s", 0.0), ("5s", 5.0), ("30s", 30.0), ("1478s", 1478.0),
    ("-5s", -5.0), ("+5s", 5.0), ("5.0s", 5.0), ("5.6s", 5.6), ("5.s", 5.0), (".5s", 0.5), ("1.004s", 1.004),
    ("100.00100s", 100.001), ("10ns", 1e-8), ("11us", 11e-6), ("12µs", 12e-6), ("12μs", 12e-6),
    ("13ms", 0.013), ("14s", 14.0), ("15m", 900.0), ("16h", 57_600.0), ("3h30m", 12_600.0), ("1h30m", 5400.0),
    ("10.5s4m", 250.5), ("-2m3.4s", -123.4), ("1.5h", 5400.0), ("168h", 604_800.0), ("168h0m0s", 604_800.0),
    ("1h2m3s4ms5us6ns", 3723.004005006), ("39h9m14.425s", 140_954.425), ("0.3333333333333333333h", 1200.0),
    ("0.100000000000000000000h", 360.0), ("0.9223372036854775807h", 3320.413933267),
    ("9223372036854775807ns", 9223372036.854775807), ("1s1s", 2.0),
]  # fmt: skip
NO_DURATIONS = [
    "", "3", "-", "s", ".", "-.", ".s", "+.s", "1e3s", "1 h", " 1h", "1h ", "7d", "1H", "1hour", "--1s", "1_0s",
    "9223372036854775808ns", "3000000h", "٣s", "1" * 100 + "s", "inf", "nan",
]  # fmt: skip
PRINTED = [
    (0.0, "0s"), (1e-9, "1ns"), (1.1e-6, "1.1µs"), (2.2e-3, "2.2ms"), (3.3, "3.3s"), (245.0, "4m5s"),
    (245.001, "4m5.001s"), (18_367.001, "5h6m7.001s"), (480.000000001, "8m0.000000001s"),
    (604_800.0, "168h0m0s"), (60.0, "1m0s"), (-90.0, "-1m30s"), (0.25, "250ms"), (0.9999999996, "1s"),
]  # fmt: skip
SIZES = [
    ("0", 0), ("1024", 1024), ("+7", 7), ("-1", -1), ("512B", 512), ("1KiB", 1024), ("64MiB", 67_108_864),
    ("960MiB", 1_006_632_960), ("1GiB", 2**30), ("2TiB", 2**41), ("1KB", 1000), ("25MB", 25_000_000),
    ("2GB", 2 * 10**9), ("1.5GiB", 1_610_612_736), (".5KiB", 512), ("5.KiB", 5120), ("1e3B", 1000),
    ("1.9B", 1), ("-1.5KiB", -1536), (" 64 MiB ", 67_108_864), ("\t1MiB\n", 2**20), ("0.1GB", 10**8),
    ("9007199254740993B", 9007199254740993), ("9223372036854775807", 2**63 - 1),
]  # fmt: skip
NO_SIZES = [
    "", " ", "B", "MiB", "64mib", "64MIB", "64 M", "64M", "1.5", "1e3", "1,5MiB", "0x10", "1_000", "infB", "nanB",
    "1PiB", "64MiB64MiB", "9223372036854775808", "8388608TiB", "1e400B", "- 1B", "٣MiB", "1" * 100 + ".5B",
]  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
def test_a_duration_is_read_as_go_does(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_what_go_refuses_as_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


def test_why_a_duration_is_refused_is_said() -> None:
    with pytest.raises(ValueError, match=r'got "7d" \(unknown unit "d"\)'):
        parse_duration("7d")
    with pytest.raises(ValueError, match=r'got "90" \(a unit is missing\)'):
        parse_duration("90")


def test_days_are_taken_where_they_are_allowed() -> None:
    assert parse_duration("7d12h", days=True) == 7.5 * 86_400


@pytest.mark.parametrize(("seconds", "text"), PRINTED)
def test_a_duration_is_printed_as_go_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_printed_duration_is_read_as_the_same(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    if abs(round(seconds * 10**9)) < 2**63 - 1024:  # what a float rounds up to may be too long for Go
        assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(("text", "octets"), SIZES)
def test_a_size_is_read_as_jmap2nats_does(text: str, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", NO_SIZES)
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0B"), (1, "1B"), (1000, "1000B"), (1023, "1023B"), (1024, "1KiB"), (1536, "1536B"), (2048, "2KiB"),
        (2**20, "1MiB"), (2**20 + 1024, "1025KiB"), (64 * 2**20, "64MiB"), (2**40, "1024GiB"), (-1024, "-1024B"),
    ],
)  # fmt: skip
def test_a_size_is_printed_in_the_largest_exact_unit(octets: int, text: str) -> None:
    assert format_size(octets) == text


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_printed_size_is_read_as_the_same(octets: int) -> None:
    assert parse_size(format_size(octets)) == octets


@given(st.text(alphabet="0123456789.+-hmsnuµKMGTiB e", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_size):
        with contextlib.suppress(ValueError):
            assert abs(parse(text)) < 2**63
