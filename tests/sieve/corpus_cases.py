"""The Sieve cases of the open corpus (its README.md), and which of them ask for what the RFC does not."""

import re
from collections.abc import Iterator
from typing import Any

from corpus.mail_corpus import CORPUS, read_json

SIEVE = CORPUS / "sieve"

_DAYS = "jsieve's :days counts from when the script was activated; RFC 5230 §4.1: from the last answer"
_REQUIRE = "the script has no require for what it uses (RFC 5228 §2.10.5)"
_CONTENT = "jsieve insists on :contains; RFC 5173 §4: any match type, :is if there is none"

# Name of the case -> why we do otherwise. Each of these must fail as it stands.
JAMES_EXCEPTIONS = {
    "vacationShouldNotGenerateNotificationIfTooOld": _DAYS,
    "vacationShouldNotCancelFileIntoActionIfNotExecuted": _REQUIRE,
    "vacationShouldNotCancelFileIntoActionIfExecuted": _REQUIRE,
    "vacationDaysParameterShouldFilterTooOldDates": _DAYS,
    "doubleVacationShouldNotBeExecutedAndReceiverShouldHaveANotificationAboutSieveError": (
        "RFC 5228 §2.10.6: after an error there is the implicit keep"
    ),
    "rejectShouldWork": _REQUIRE,
    "rejectShouldWorkWhenMultipleRecipients": _REQUIRE,
    "sieveErrorNotificationEmailsShouldNotBeProcessed": "an attribute of James's own mails, not of the message",
}
JSIEVE_EXCEPTIONS = {
    "BodyTest.textShouldThrowWithoutMatcherContains": _CONTENT,
    "BodyTest.defaultShouldThrowWithoutMatcher": _CONTENT,
}
# The message that a case needs is not in the corpus; test_language has one like it.
JAMES_WITHOUT_MESSAGE = {"headerInstructionShouldSupportFoldedEncodedHeaders"}
VALIDITY_EXCEPTIONS = {
    "test_add_command-0": "a command that the test itself adds to sievelib",
    "test_invalid_utf8-16": "octets that are no UTF-8, which the record has as U+FFFD: the text is valid",
    "test_imap4flags_hasflag-46": "the name of a variable without require for variables (RFC 5232 §2)",
}
CYRUS_EXCEPTIONS = dict.fromkeys(
    ("ueatest-denotify2", "ueatest-notify2", "ueatest-notify", "ueatest-mark"),
    "notify and imapflags of old drafts: RFC 5435 and RFC 5232 took their place",
)


def james() -> list[dict[str, Any]]:
    return list(read_json("sieve/james-mailet/cases.json")["cases"])


def james_message(case: dict[str, Any]) -> bytes:
    """The message of a case, as its ``message_template`` says."""
    fields = [f"Subject: {case['subject']}", *(f"{name}: {value}" for name, value in case["headers"])]
    fields += ["Sender: sender@any.com", "To: receiver@domain.com", "MIME-Version: 1.0"]
    text = "A text to match, followed by some trailing content."
    if case["single_part"]:
        fields.append("Content-Type: text/plain; charset=UTF-8")
        body = text
    else:
        fields.append('Content-Type: multipart/mixed; boundary="b"')
        body = (
            "--b\r\nContent-Type: text/plain; charset=UTF-8\r\n"
            f"Content-Disposition: attachment; filename=file.txt\r\n\r\n{text}\r\n--b--\r\n"
        )
    data = ("\r\n".join(fields) + "\r\n\r\n" + body).encode()
    if case["size"] is not None:  # what James's test says the size is, whatever the message
        head = b"Subject: x\r\n\r\n"
        return head + b"x" * (case["size"] - len(head))
    return data


def jsieve() -> list[dict[str, Any]]:
    return list(read_json("sieve/jsieve/cases.json"))


def jsieve_script(case: dict[str, Any]) -> str:
    """Its script with the extensions required, which jsieve does not ask for, and with a command for its own."""
    names = ("body", "envelope", "fileinto", "reject", "vacation")
    needs = [name for name in names if re.search(rf"\b{name}\b", case["script"])]
    script = case["script"].replace("throwTestException", "discard")
    return "".join(f'require "{name}"; ' for name in needs) + script


def validity() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, case): names are told apart by a number where there are several."""
    for number, case in enumerate(read_json("sieve/sievelib-validity/cases.json")):
        yield f"{case['test']}-{number}", case


def cyrus(folder: str) -> Iterator[tuple[str, bytes]]:
    """(name, octets) of the messages for one script."""
    for path in sorted((SIEVE / "cyrus-uber" / folder / "testm").iterdir()):
        yield path.name, path.read_bytes()


def cyrus_script(folder: str) -> str:
    [path] = (SIEVE / "cyrus-uber" / folder).glob("*.s")
    script = path.read_text("utf-8")
    if folder == "testExtension":  # nearly all of it is a comment, but the key tells what it does
        script = script.replace("/*", "", 2).replace("*/", "")
    if folder == "actionExtensions":
        script = script.replace('"imapflags", ', "").replace('"notify",', "")
        script = re.sub(r"\{(?:un)?mark;\}|\{(?:de)?notify\b.*?;\s*\}", "{}", script, flags=re.DOTALL)
    return script
