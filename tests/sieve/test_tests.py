"""What tests find true: RFC 5228 §5 and the extensions that compare, each row one question."""

import pytest

from sieve.running import holds

TRUE = r"""
header :is "subject" "[list] hello, schöne world"
header :contains "SUBJECT" "hello"
header :contains ["x-none", "subject"] ["zzz", "WORLD"]
header :contains "x-empty" ""
header :is "x-folded" "one two"
header "x-count" "12"
header :matches "subject" "[list]*World"
header :matches "subject" "?list? *"
header :matches "subject" "*"
header :matches "x-empty" "*"
header :comparator "i;octet" :contains "subject" "Hello"
header :comparator "i;unicode-casemap" :contains "subject" "SCHÖNE"
header :comparator "i;ascii-numeric" :is "x-count" "007"
header :comparator "i;ascii-numeric" :value "gt" "x-count" "11"
header :comparator "i;ascii-numeric" :count "eq" "x-count" "2"
header :count "eq" "x-none" "0"
header :value "ne" "x-count" "7"
header :regex "subject" "^\\[[a-z]+\\] "
header :regex "subject" "(Hello|Bye), .*world$"
header :comparator "i;octet" :regex "subject" "Hello"
header :index 1 "x-count" "7"
header :index 1 :last "x-count" "12"
header :index 2 :contains "received" "from a.example"
address "from" "juergen+news@sender.example"
address :localpart "from" "juergen+news"
address :domain :is "from" "SENDER.example"
address :user "from" "juergen"
address :detail "from" "news"
address :domain ["to", "cc"] "team.example"
address :all :contains "to" "other@"
address :count "eq" :comparator "i;ascii-numeric" ["to", "cc"] "4"
address :regex :localpart "cc" "^(one|two)$"
envelope "from" "JUERGEN@sender.example"
envelope :detail "to" "lists"
envelope :user :is "TO" "me"
envelope :domain :matches ["from", "to"] "*.example"
exists ["from", "x-empty", "date"]
size :over 500
size :under 1K
not size :over 1M
anyof (false, true)
allof (true, not false)
string "${a}" "x y"
string :matches "${a}" "? ?"
string :count "eq" :comparator "i;ascii-numeric" ["", "${a}", "${none}", "b"] "2"
string "${none}" ""
string "$${a}" "$x y"
string "${a" "${a"
string "${hex:40}" "@"
string "${unicode:41 42}${hex: c3 a9}" "ABé"
string "${hex: 40 41}x" "@Ax"
string "${HEX:40}" "@"
string "${hex:0g}" "${hex:0g}"
hasflag "\\Seen"
hasflag :contains "see"
hasflag :count "eq" :comparator "i;ascii-numeric" "2"
hasflag ["none", "flags"] "work"
not hasflag "work"
currentdate "year" "2026"
currentdate :zone "+0000" "hour" "20"
currentdate "zone" "+0100"
currentdate "weekday" "6"
currentdate "date" "2026-11-21"
currentdate "time" "21:30:05"
currentdate "julian" "61365"
currentdate "iso8601" "2026-11-21t21:30:05+01:00"
currentdate :zone "-0330" "std11" "Sat, 21 Nov 2026 17:00:05 -0330"
currentdate :value "ge" "month" "11"
date "date" "hour" "14"
date :originalzone "date" "hour" "09"
date :originalzone "date" "zone" "-0330"
date :zone "+0000" "date" "minute" "29"
date :index 1 "received" "day" "22"
date :originalzone "received" "hour" "23"
date :index 2 :originalzone "received" "second" "00"
body :contains "grüße"
body :contains "seen by readers"
body :raw :contains "Gr=FC"
body :raw :contains "preamble"
body :content "text/html" :contains "not this"
body :content "application/pdf" :contains "%PDF"
body :content "multipart" :contains "preamble"
body :content "" :matches "*%PDF*"
body :content ["audio", "text/plain"] :regex "aus +dem"
mailboxexists ["INBOX", "Archive"]
not mailboxexists ["INBOX", "Nowhere"]
mailboxidexists "m2"
not mailboxidexists ["m2", "m9"]
specialuse_exists "\\Archive"
specialuse_exists "Archive" "\\archive"
not specialuse_exists "INBOX" "\\Archive"
not specialuse_exists ["\\Archive", "\\Junk"]
environment "name" "veredus"
environment :contains "DOMAIN" "home"
not environment :matches "host" "*"
valid_notify_method "mailto:a@b.example?subject=x"
not valid_notify_method ["mailto:a@b.example", "tel:+123"]
notify_method_capability "mailto:a@b.example" "Online" "maybe"
not notify_method_capability "mailto:a@b.example" "Online" "yes"
header :mime :subtype "content-type" "mixed"
header :mime :anychild :contenttype "content-type" "application/pdf"
header :mime :anychild :param "filename" :contains "content-disposition" "rechnung"
header :mime :anychild :type :is "content-type" "text"
exists :mime :anychild "content-disposition"
not exists "content-disposition"
"""

FALSE = r"""
header :is "subject" "hello"
header :contains "x-none" ""
header :matches "x-none" "*"
header :matches "subject" "list"
header :matches "subject" "*Hello"
header :comparator "i;octet" :contains "subject" "hello"
header :contains "subject" "SCHÖNE"
header :comparator "i;octet" :regex "subject" "hello"
header :comparator "i;ascii-numeric" :is "subject" "1"
header :index 3 "x-count" "12"
header :index 1 :last "x-count" "7"
address :domain "from" "example"
address "from" "Jürgen"
address "x-none" ""
address :detail "to" ""
envelope "to" "me@home.example"
exists ["from", "x-none"]
allof (true, false)
date "x-empty" "year" "2026"
date "subject" "year" "2026"
body :contains "not this"
body :contains "Gr=FC"
body :content "text/plain" :contains "readers"
body :content "text/" :contains ""
"""

BEFORE = r'set "a" "x y"; setflag ["\\Seen", "other"]; setflag "flags" "work play";'


@pytest.mark.parametrize("test", TRUE.strip().splitlines())
def test_it_is_true(test: str) -> None:
    assert holds(test, BEFORE)


@pytest.mark.parametrize("test", FALSE.strip().splitlines())
def test_it_is_false(test: str) -> None:
    assert not holds(test, BEFORE)


def test_of_the_null_reverse_path_every_part_is_empty() -> None:
    for part in ("all", "localpart", "domain"):
        assert holds(f'envelope :{part} "from" ""', sender="")


def test_what_is_no_address_has_no_parts() -> None:
    message = b"From: stephan@\r\nTo: a@b.example, @c.example\r\nCc: nonsense\r\nBcc:\r\n\r\n"
    for test in ('"cc" "nonsense"', '"bcc" ""', ':domain "to" "b.example"'):
        assert holds(f"address {test}", message=message)
    for test in (
        ':localpart "from" "stephan"',
        ':domain "to" "c.example"',
        ':localpart ["cc", "bcc", "to"] ""',
    ):
        assert not holds(f"address {test}", message=message)


NESTED = b"""\
Content-Type: multipart/mixed; boundary=outer

Prologue.
--outer
Content-Type: multipart/alternative; boundary=inner

Inner prologue.
--inner

Hello
--inner--
Inner epilogue.
--outer
Content-Type: message/rfc822

From: Someone
Subject: Folded
 field

Nested text
--outer--
Epilogue.
"""


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ('"multipart" :contains "Prologue."', True),
        ('"multipart" :contains "Inner epilogue"', True),
        ('"multipart" :matches "*Epilogue.*"', True),
        ('"multipart" :contains "--"', False),
        ('"multipart" :contains "Hello"', False),
        ('"text/plain" :contains "nested text"', True),
        ('"text" :comparator "i;ascii-numeric" :count "eq" "2"', True),
        ('"message/rfc822" :is "From: Someone\nSubject: Folded\n field\n"', True),
        ('"message/rfc822" :contains "nested text"', False),
    ],
)
def test_a_body_is_searched_part_by_part(test: str, expected: bool) -> None:
    assert holds(f"body :content {test}", message=NESTED.replace(b"\n", b"\r\n")) == expected


def test_without_a_separator_there_are_no_details() -> None:
    assert holds('envelope :user "to" "me+lists"', subaddress_separator=None)
    assert not holds('envelope :detail :matches "to" "*"', subaddress_separator=None)


def test_a_header_that_was_folded_and_encoded_is_read_as_one() -> None:
    """As the message that James's headerInstructionShouldSupportFoldedEncodedHeaders takes."""
    message = b"To: =?UTF-8?Q?Beno=c3=aet_TELLIER?=\r\n <tellier@linagora.com>\r\n\r\n"
    assert holds('header :contains "To" "Benoît TELLIER <tellier@linagora.com>"', message=message)
