"""What addresses, host names, URLs and the like may look like."""

import pytest

from veredus.config import checks, kinds


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (checks.address, ["127.0.0.1:0", "localhost:8580", "[::1]:25", "[::]:65535"],
         ["", "8580", ":8580", "a:", "a:65536", "a:-1", "a:٣", "::1:80", "[a]:1", "[::1]", "[::1]:x", "a b:1"]),
        (checks.numeric_address, ["127.0.0.1:53", "[::1]:53"], ["localhost:53", "1.1.1.1", "[a]:53"]),
        (checks.hostname, ["localhost", "mail.example.com", "xn--bcher-kva.example", "10.0.0.1"],
         ["", "-a", "a-", "a..b", "bücher.example", "a" * 64, ".".join(["a" * 63] * 5), "a_b"]),
        (checks.http_url, ["http://h", "https://mail.example.com/", "https://h:8443/jmap"],
         ["", "h", "ftp://h", "https://", "https://h?x", "https://h#x", "https://u@h", "https://h:99999", "https://[h"]),
        (checks.origin, ["*", "https://h", "http://localhost:5173"], ["null", "https://h/", "https://h/x", "h"]),
        (checks.network, ["127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"], ["", "localhost", "10.0.0.0/33"]),
        (checks.outgoing_url, ["mx", "local", "off", "smtp://h", "smtps://h:465", "smtp://u:p%40@h:587"],
         ["", "h", "http://h", "smtp://", "smtp://u@h", "smtp://u:a/b@h", "smtp://h/path", "smtp://h:99999"]),
        (checks.separator, ["+", "-", "_"], ["", "++", "@", ".", "a"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_check_tells_good_from_bad(check: object, good: list[str], bad: list[str]) -> None:
    assert callable(check)
    assert [text for text in good if check(text) is not None] == []
    assert [text for text in bad if check(text) is None] == []


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (kinds.Size, 50 * kinds.MIB, '"50MiB"'),
        (kinds.Size, 1, '"1B"'),
        (kinds.Size, 1536, '"1536B"'),
        (kinds.Size, 0, '"0B"'),
        (kinds.Duration, 300.0, '"5m"'),
        (kinds.Duration, 0.25, '"250ms"'),
        (kinds.Duration, 0, '"0s"'),
        (kinds.Duration, 86_400 * 7, '"7d"'),
        (bool, True, "true"),
        (str | None, None, '"none"'),
        (tuple[str, ...], ("a", "é"), '["a", "é"]'),
    ],
)
def test_what_is_written_is_read_again(kind: object, value: object, text: str) -> None:
    import tomllib

    assert kinds.write(kind, value) == text
    assert kinds.read(kind, tomllib.loads(f"x = {text}")["x"]) == value
