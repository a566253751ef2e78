"""What scripts do: the commands of RFC 5228 and of its extensions, and how actions go together."""

import pytest

from sieve.running import MESSAGE, requiring, run
from veredus.formats import sieve
from veredus.formats.mime.message import parse
from veredus.formats.sieve import Discard, Duplicate, FileInto, Keep, Notify, Redirect, Reject, Vacation

KEEP = Keep()

# Script -> what is to be done.
ACTIONS: dict[str, list[sieve.Action]] = {
    "": [KEEP],
    "keep;": [KEEP],
    "stop; discard;": [KEEP],
    "discard;": [Discard()],
    "discard; keep;": [KEEP],
    'fileinto "a"; fileinto "a"; fileinto "b";': [FileInto("a"), FileInto("b")],
    'fileinto "a"; keep;': [FileInto("a"), KEEP],
    'keep; fileinto "inbox";': [KEEP],
    'fileinto :copy "a";': [FileInto("a"), KEEP],
    'fileinto :copy "a"; discard;': [FileInto("a")],
    'fileinto :create "a"; fileinto "a";': [FileInto("a", create=True)],
    'fileinto :specialuse "\\\\Junk" "Spam";': [FileInto("Spam", special_use="\\Junk")],
    'fileinto :mailboxid "m2" "Spam";': [FileInto("Spam", mailbox_id="m2")],
    'redirect "A@x.example"; redirect "a@X.example";': [Redirect("A@x.example")],
    'redirect :copy "Bob <b@x.example>";': [Redirect("b@x.example"), KEEP],
    'reject "no"; ': [Reject("no", is_extended=False)],
    'ereject "no"; discard;': [Reject("no", is_extended=True)],
    'if false { discard; } elsif true { fileinto "a"; } else { keep; }': [FileInto("a")],
    'if true { if false { discard; } else { stop; } } discard;': [KEEP],
    # imap4flags: the internal variable counts where the message is stored
    'addflag "\\\\Seen"; fileinto "a"; addflag "x"; keep;': [FileInto("a", ("\\Seen",)), Keep(("\\Seen", "x"))],
    'setflag ["a b", "A"]; removeflag "b";': [Keep(("a",))],
    'setflag "a"; keep :flags "";': [KEEP],
    'setflag ["\\\\Draft", "\\\\Foo", "a(b", "$x"];': [Keep(("\\Draft", "$x"))],
    'fileinto :flags "a" "x"; fileinto :flags "b" "x";': [FileInto("x", ("a", "b"))],
    'setflag "mine" ["a", "b"]; removeflag "mine" "a"; keep :flags "${mine}";': [Keep(("b",))],
    # variables
    'set "a" "Ab?"; set :lower :upperfirst :quotewildcard "b" "${A}"; fileinto "${b}";': [FileInto("Ab\\?")],
    'set :length "a" "äöü"; fileinto "${a}";': [FileInto("3")],
    'set :quoteregex "a" "a.b"; set :encodeurl "b" "a b/ü"; fileinto "${a} ${b}";': [
        FileInto("a\\.b a%20b%2F%C3%BC")
    ],
    'if header :matches "subject" "[*] *, *" { fileinto "${1}/${2}/${9}"; }': [FileInto("list/Hello/")],
    'if allof (header :matches "subject" "*] *", not header :matches "subject" "x*") { fileinto "${1}"; }': [
        FileInto("[list")
    ],
    'if header :regex "subject" "\\\\[([a-z]+)\\\\] (H[a-z]*|x)" { fileinto "${1}-${2}"; }': [FileInto("list-Hello")],
    'if body :matches "*aus*" { fileinto "a${1}"; }': [FileInto("a")],
    # RFC 5703
    'foreverypart { if header :mime :type "content-type" "application" { fileinto "parts"; break; } }': [
        FileInto("parts")
    ],
    'foreverypart { if header :mime :subtype "content-type" "plain" { extracttext :first 5 :upper "t"; } } '
    'fileinto "${t}";': [FileInto("GRÜSSE")],
    'foreverypart :name "a" { foreverypart { addflag "x"; break :name "a"; } addflag "y"; }': [Keep(("x",))],
    # notify
    'notify :importance "1" :message "m" :options ["a=b"] "mailto:a@b.example"; ': [
        Notify("mailto:a@b.example", "m", None, 1, ("a=b",)),
        KEEP,
    ],
}  # fmt: skip

# Script -> what the error says; the message is then kept, whatever was done before.
ERRORS = {
    'reject "a"; keep;': "line 2: a message that is rejected can be neither kept",
    'keep; ereject "a";': "line 2: a message that is rejected",
    'reject "a"; vacation "b";': "a message that is rejected",
    'reject "a"; ereject "b";': "rejected only once",
    'vacation "a"; vacation "b";': "vacation may be used once only",
    'discard;\nset "a" "x"; redirect "${a}";': "line 3: redirect to what is no address",
    'fileinto "${none}";': "fileinto with what is no name of a mailbox",
    'set "r" "a("; if header :regex "subject" "${r}" {}': "bad regular expression",
    'addheader "${none}" "x";': "no name of a header field",
    'set "m" "tel:1"; notify "${m}";': "only mailto: is a method",
    'notify :importance "4" "mailto:a@b.example";': ":importance is 1, 2 or 3",
    'include "missing";': 'there is no personal script "missing" to include',
    'set "f" "a@b\r\nX: y"; vacation :from "${f}" "x";': "vacation :from is no address",
}


@pytest.mark.parametrize("script", ACTIONS)
def test_a_script_does(script: str) -> None:
    outcome = run(requiring(script))
    assert outcome.error is None
    assert list(outcome.actions) == ACTIONS[script]


@pytest.mark.parametrize("script", ERRORS)
def test_after_an_error_the_message_is_kept(script: str) -> None:
    outcome = run(requiring(script))
    assert outcome.error is not None
    assert ERRORS[script] in outcome.error
    assert outcome.actions == (KEEP,)
    assert outcome.duplicates == ()


# ---------------------------------------------------------------- editheader


def test_later_actions_see_the_edited_header_and_earlier_ones_do_not() -> None:
    outcome = run(
        requiring(
            'fileinto "before"; addheader "X-Note" "für dich"; deleteheader "received"; deleteheader :index 1 '
            ':last "x-count"; if header :is "x-note" "für dich" { fileinto "after"; }'
        )
    )
    before, after = outcome.actions
    assert isinstance(before, FileInto)
    assert isinstance(after, FileInto)
    assert before.message is None
    assert after.message == outcome.message
    assert outcome.message is not None
    assert outcome.message.startswith(b"X-Note: =?utf-8?")
    assert b"\r\nX-Count: 7\r\nX-Empty:\r\n" in outcome.message
    assert outcome.message.partition(b"\r\n\r\n")[2] == MESSAGE.partition(b"\r\n\r\n")[2]


def test_what_shows_the_way_of_a_message_cannot_be_deleted() -> None:
    outcome = run(requiring('deleteheader "received"; addheader "Auto-Submitted" "no";'))
    assert (outcome.message, outcome.error) == (None, None)


def test_deleteheader_takes_those_that_match() -> None:
    outcome = run(
        requiring('deleteheader :contains "x-count" "1"; deleteheader "x-none"; addheader :last "Z" "z";')
    )
    assert outcome.message is not None
    assert [h.value for h in parse(outcome.message).headers if h.name == "X-Count"] == [" 7"]
    assert parse(outcome.message).headers[-1] == ("Z", " z")


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n", b"\r\n\r\nx", b"A: b", b"A: b\n\nx", b"junk\nA: b\nx", b"\xff\r\n", b"A: b\rC: d\r\rx"],
)
def test_a_field_can_be_added_to_anything(data: bytes) -> None:
    for last in ("", ":last"):
        outcome = run(requiring(f'addheader {last} "X-New" "v"; '), data)
        assert outcome.message is not None
        message = parse(outcome.message)
        assert [h.value for h in message.headers if h.name == "X-New"] == [" v"]
        assert message.data[message.root.start :] == parse(data).data[parse(data).root.start :]


# ---------------------------------------------------------------- vacation

ANSWERED = 'vacation "gone";'


def answers(script: str = ANSWERED, message: bytes = MESSAGE, **changed: str) -> bool:
    outcome = run(requiring(script), message, **changed)
    assert outcome.error is None
    assert outcome.actions[-1] == KEEP
    return any(isinstance(action, Vacation) for action in outcome.actions)


def test_vacation_says_how_it_is_to_be_answered() -> None:
    [answer, _] = run(
        requiring(
            'vacation :days 3 :subject "s" :from "A <a@b.example>" :addresses ["x@b.example"] :mime :handle "h" "r";'
        )
    ).actions
    assert answer == Vacation(
        "h", 3 * 86_400, "s", "A <a@b.example>", ("x@b.example",), mime=True, reason="r"
    )


@pytest.mark.parametrize(
    ("tags", "seconds"),
    [
        ("", 604_800),
        (":days 0", 86_400),
        (":seconds 0", 0),
        (":seconds 90", 90),
        (":days 9999", 365 * 86_400),
    ],
)
def test_vacation_is_answered_once_within(tags: str, seconds: int) -> None:
    [answer, _] = run(requiring(f'vacation {tags} "gone";')).actions
    assert isinstance(answer, Vacation)
    assert answer.seconds == seconds


def test_without_a_handle_other_texts_are_other_answers() -> None:
    handles = set()
    for script in ('vacation "a";', 'vacation "b";', 'vacation :subject "s" "a";', 'vacation :days 2 "a";'):
        [answer, _] = run(requiring(script)).actions
        assert isinstance(answer, Vacation)
        handles.add(answer.handle)
    assert len(handles) == 3  # the days make no other answer


def test_only_a_person_who_wrote_to_us_is_answered() -> None:
    assert answers()
    assert not answers(sender="")
    assert not answers(sender="me@home.example")
    assert not answers(sender="list-request@x.example")
    assert not answers(sender="MAILER-DAEMON@x.example")
    assert not answers(recipient="bcc@home.example")
    assert answers('vacation :addresses "two@team.example" "gone";', recipient="bcc@home.example")
    for field in (
        b"List-Id: <x>",
        b"Precedence: bulk",
        b"Auto-Submitted: auto-replied",
        b"List-Unsubscribe: <x>",
    ):
        assert not answers(message=field + b"\r\n" + MESSAGE)
    assert answers(message=b"Auto-Submitted: no\r\n" + MESSAGE)


# ---------------------------------------------------------------- include, duplicate, ihave, notify

SCRIPTS = {
    "flags": 'require "imap4flags"; addflag "included";',
    "returns": 'require ["include", "fileinto"]; if true { return; } fileinto "never";',
    "stops": "stop;",
    "sets": 'require ["include", "variables"]; global "shared"; set "shared" "s"; set "own" "o"; set "global.g" "g";',
    "loop": 'require "include"; include "loop2";',
    "loop2": 'require "include"; include "loop";',
    "breaks": "\n\nredirect \"${a}\";\n".replace("redirect", 'require "variables"; redirect'),
}  # fmt: skip


def include(script: str) -> sieve.Outcome:
    compiled = {name: sieve.compile(text) for name, text in SCRIPTS.items()}
    return run(
        requiring(script), include=lambda name, where: compiled.get(name) if where == "personal" else None
    )


def test_an_included_script_acts_in_the_place_of_its_include() -> None:
    assert include('include "flags"; keep;').actions == (Keep(("included",)),)
    assert include('include "returns"; fileinto "a";').actions == (FileInto("a"),)
    assert include('include "stops"; discard;').actions == (KEEP,)
    assert include('include :global :optional "flags"; discard;').actions == (Discard(),)
    assert include("return; discard;").actions == (KEEP,)
    assert include('include :once "flags"; removeflag "included"; include :once "flags";').actions == (KEEP,)


def test_scripts_share_what_they_declare_global() -> None:
    outcome = include('global ["shared"]; include "sets"; fileinto "${shared}-${own}-${global.g}";')
    assert outcome.actions == (FileInto("s--g"),)


def test_an_error_names_the_included_script() -> None:
    assert (
        include('include "breaks";').error == 'in the script "breaks", line 3: redirect to what is no address'
    )
    assert "includes itself" in (include('include "loop";').error or "")


def test_a_duplicate_is_remembered_unless_it_is_known() -> None:
    script = 'if duplicate :handle "h" :seconds 60 { discard; }'
    outcome = run(requiring(script))
    [remembered] = outcome.duplicates
    assert (outcome.actions, remembered) == ((KEEP,), Duplicate(remembered.key, 60, last=False))
    again = run(requiring(script), is_duplicate=lambda key: key == remembered.key)
    assert (again.actions, again.duplicates) == ((Discard(),), ())
    last = run(requiring(script.replace(":handle", ":last :handle")), is_duplicate=lambda key: True)
    assert last.duplicates == (Duplicate(remembered.key, 60, last=True),)


def test_duplicates_differ_by_handle_and_by_what_is_compared() -> None:
    keys = set()
    for tags in (
        "",
        ':handle "a"',
        ':header "subject"',
        ':uniqueid "<1@sender.example>"',
        ':header "message-id"',
    ):
        keys.add(run(requiring(f"if duplicate {tags} {{ discard; }}")).duplicates[0].key)
    assert len(keys) == 4  # the last is what the first does
    assert run(requiring('if duplicate :header "x-none" { discard; }')).duplicates == ()


def test_with_ihave_what_is_missing_is_an_error_only_where_it_runs() -> None:
    script = 'require "ihave"; if ihave ["fileinto", "foo"] { foo :bar "x" { } } elsif ihave "fileinto" { fileinto "a"; }'
    assert run(script).actions == (FileInto("a"),)
    tags = 'require "ihave"; if ihave "foo" { keep :foo 1 "x"; } elsif header :foo "a" "b" { } fileinto "c";'
    assert run(tags).error == "line 1: header has no argument :foo"
    assert run('require "ihave"; foo;').error == "line 1: there is no command foo"
    assert run('require "ihave"; if foo "x" {}').error == "line 1: there is no test foo"
    assert run('require "ihave"; error "not here";').error == "line 1: not here"


def test_nobody_is_notified_of_a_notification() -> None:
    message = b'Auto-Submitted: auto-notified; owner-email="a@b"\r\n' + MESSAGE
    assert run(requiring('notify "mailto:a@b.example";'), message).actions == (KEEP,)


def test_a_mailto_uri_is_taken_apart() -> None:
    found = sieve.mailto(
        "mailto:a%40b.example%2cc@d.example?Subject=x%0Ay&to=e@f.example&body=1%202&X-Evil=z"
    )
    assert found.recipients == ("a@b.example", "c@d.example", "e@f.example")
    assert (found.subject, found.body) == ("x y", "1 2")
    for bad in ("mailto:", "mailto:a", "http://x", "mailto:a@b.example%0D%0ABcc:x@y.example"):
        with pytest.raises(ValueError, match=r"mailto|address"):
            sieve.mailto(bad)
