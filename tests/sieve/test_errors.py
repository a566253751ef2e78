"""What is wrong with a script is said in a sentence, with its line and column."""

import pytest

from sieve.running import error_of, requiring
from veredus.formats import sieve

# Script, where it is wrong, and what the sentence says.
ERRORS = [
    # lexer
    ("keep; @", (1, 7), "unexpected '@'"),
    ('keep;\n"abc', (2, 1), "this string is never closed"),
    ("keep; /* abc", (1, 7), "this comment is never closed"),
    ("redirect text:\nabc\n..\n", (1, 10), 'a line with only "." is missing'),
    ("if size :over 99999999999G {}", (1, 15), "this number is too large"),
    ("if size :over 10X {}", (1, 15), "unexpected '1'"),
    # grammar
    ("keep", (1, 5), '";" or a block expected, not the end of the script'),
    ('keep "a"', (1, 9), '";" or a block expected'),
    ("if true {\n keep;", (1, 9), "this block is never closed"),
    ("}", (1, 1), "a command expected, not }"),
    ('if header "a" [ {}', (1, 17), "a string expected, not {"),
    ('if header "a" ["b" "c"] {}', (1, 20), '"]" expected, not a string'),
    ("if allof (true, ) {}", (1, 17), "a test expected, not )"),
    ("require [];", (1, 10), "a string expected"),
    # commands and tests
    ("\n  fil;", (2, 3), "there is no command fil"),
    ("if foo {}", (1, 4), "there is no test foo"),
    ("keep { stop; }", (1, 1), "keep takes no block"),
    ("keep true;", (1, 6), "keep takes no test"),
    ("if true;", (1, 1), "if needs a block"),
    ("if {}", (1, 1), "if takes one test"),
    ('if "a" true {}', (1, 4), "if takes no argument"),
    ("if true {} else true {}", (1, 12), "else takes no test"),
    ("if true {} else {} else {}", (1, 20), "else without an if before it"),
    ("if true {} keep; elsif true {}", (1, 18), "elsif without an if before it"),
    ("if not (true) {}", (1, 4), "not takes one test"),
    ("if anyof true {}", (1, 4), "anyof takes a list of tests in parentheses"),
    # arguments
    ("redirect;", (1, 1), "redirect needs a string"),
    ('redirect ["a@b", "c@d"];', (1, 10), "redirect takes a string here"),
    ('redirect "a@b" "c";', (1, 16), "redirect takes no more arguments"),
    ("keep 1;", (1, 6), "keep takes no such argument"),
    ('redirect "nobody";', (1, 10), '"nobody" is no address'),
    ('redirect "a@b.example\r\nX: y";', (1, 10), "is no address"),
    ('if header :foo "a" "b" {}', (1, 11), "header has no argument :foo"),
    ('if header :is :is "a" "b" {}', (1, 15), ":is is given twice"),
    ('if header :is :contains "a" "b" {}', (1, 15), ":contains does not go with :is"),
    ('if address :all :domain "a" "b" {}', (1, 17), ":domain does not go with :all"),
    ('if header "a" :is "b" {}', (1, 15), "tags stand before the other arguments"),
    ("if size :over {}", (1, 4), "size needs a number"),
    ("if size 1 {}", (1, 4), "size needs :over or :under"),
    ('if header :comparator 1 "a" "b" {}', (1, 23), ":comparator needs a string here"),
    ('if header :comparator "i;foo" "a" "b" {}', (1, 23), 'there is no comparator "i;foo" here'),
    # capabilities
    ('require "foo";', (1, 9), 'there is no extension "foo" here'),
    ('keep; require "copy";', (1, 7), "require stands before all other commands"),
    ("require 1;", (1, 1), "require takes a string or a list of strings"),
    ('fileinto "a";', (1, 1), 'fileinto needs require "fileinto"'),
    ('require "fileinto"; fileinto :copy "a";', (1, 30), ':copy needs require "copy"'),
    ('if header :regex "a" "b" {}', (1, 11), ':regex needs require "regex"'),
    ('if header :comparator "i;ascii-numeric" "a" "1" {}', (1, 23), 'needs require "comparator-i;ascii-numeric"'),
    ('require "imap4flags"; addflag "a" "b";', (1, 23), 'needs require "variables"'),
    ('require "include"; global "a";', (1, 20), 'global needs require "variables"'),
]  # fmt: skip

# The same with every extension required in line 1.
EXTENSION_ERRORS = [
    ('if header :contains :comparator "i;ascii-numeric" "a" "1" {}', 11, ":contains does not go with"),
    ('if header :value "xx" "a" "1" {}', 18, 'there is no relation "xx"'),
    ('if header :value "${a}" "a" "1" {}', 18, "the relation must be a constant string"),
    ('if header :last "a" "b" {}', 11, ":last needs :index"),
    ('if header :index 0 "a" "b" {}', 18, ":index counts from 1"),
    ('if header :regex "a" "a(" {}', 22, "bad regular expression: missing )"),
    ('if header :regex "a" "(a)\\\\1" {}', 22, "bad regular expression: invalid escape sequence"),
    ('if header :anychild "a" "b" {}', 11, ":anychild needs :mime"),
    ('if header :type "a" "b" {}', 11, ":type needs :mime"),
    ('if envelope "auth" "x" {}', 13, 'there is no envelope part "auth" here'),
    ('if date "date" "decade" "1" {}', 16, 'there is no part "decade" of a date'),
    ('if date :zone "CET" "date" "hour" "1" {}', 15, "a zone is written as +hhmm or -hhmm"),
    ('if date :zone "+0100" :originalzone "date" "hour" "1" {}', 23, ":originalzone does not go with :zone"),
    ('set "1a" "x";', 5, '"1a" is no name of a variable'),
    ('set :lower :upper "a" "x";', 12, ":upper does not go with :lower"),
    ('keep :flags "${foo.bar}";', 13, 'no variables in a namespace "foo"'),
    ('fileinto "${unicode:d800}";', 10, "is no Unicode character"),
    ('fileinto "${unicode:110000}";', 10, "is no Unicode character"),
    ('fileinto :specialuse "a" :mailboxid "b" "c";', 37, ":mailboxid does not go with :specialuse"),
    ('vacation :days 1 :seconds 2 "a";', 27, ":seconds does not go with :days"),
    ('vacation :from "x" "a";', 16, '"x" is no address'),
    ('addheader "a b" "c";', 11, '"a b" is no name of a header field'),
    ('notify "tel:1";', 8, "notify: only mailto: is a method of notification here"),
    ('notify "mailto:x";', 8, 'notify: "x" in the mailto: URI is no address'),
    ('include "${a}";', 9, "the name of a script must be a constant string"),
    ('global ["a", "b c"];', 8, '"b c" is no name of a variable'),
    ("break;", 1, "break is only for inside of foreverypart"),
    ('foreverypart :name "a" { break :name "b"; }', 38, 'there is no foreverypart :name "b" around this'),
    ('extracttext "a";', 1, "extracttext is only for inside of foreverypart"),
    ('if duplicate :header "a" :uniqueid "b" {}', 26, ":uniqueid does not go with :header"),
    ('if header :contains "a" ["b", 3] {}', 31, "a string expected, not 3"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "place", "sentence"), ERRORS)
def test_the_error_says_what_and_where(script: str, place: tuple[int, int], sentence: str) -> None:
    with pytest.raises(sieve.SieveError) as raised:
        sieve.compile(script)
    error = raised.value
    assert sentence in error.message
    assert (error.line, error.column) == place
    assert str(error) == f"line {place[0]}, column {place[1]}: {error.message}"


@pytest.mark.parametrize(("script", "column", "sentence"), EXTENSION_ERRORS)
def test_extensions_check_what_they_are_given(script: str, column: int, sentence: str) -> None:
    message = error_of(requiring(script))
    assert message.startswith(f"line 2, column {column}: ")
    assert sentence in message


def test_half_of_a_surrogate_pair_is_refused() -> None:
    assert error_of('redirect "\ud800";') == "line 1, column 11: half of a surrogate pair is no character"


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert error_of('require "a\r\nb";') == 'line 1, column 9: there is no extension "a b" here'
    assert len(error_of(f'redirect "{"x" * 10_000}";')) < 400


def test_comments_and_texts_are_read_as_written() -> None:
    assert error_of("# keep\r\n/* a ** / */ keep; # x") == "valid"
    assert error_of('require "reject"; reject text: # why\r\n..dot\r\n.\r\n;') == "valid"
    assert error_of("KEEP; If True { Stop; }") == "valid"
