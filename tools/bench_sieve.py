"""What a Sieve script of 50 rules costs for one message: ``python -m tools.bench_sieve``.

Rules as users write them: a field or an address contains something, the message goes into a mailbox. Only the
last but three matches. CPU time of one core; the message is parsed once, as it is at delivery, and its header
fields are decoded anew in each run. With ``--json``: microseconds.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

from veredus.formats import sieve
from veredus.formats.mime.message import parse

RULES = 50
MATCHING = 46
TARGET_US = 1000

MESSAGE = (
    b"Return-Path: <bounce+17@lists.example>\r\n"
    b"Received: from mx.example.net (mx.example.net [192.0.2.7]) by mail.example.org with ESMTPS\r\n"
    b" for <anna@example.org>; Sat, 21 Nov 2026 10:11:12 +0100\r\n"
    b"From: =?utf-8?q?J=C3=BCrgen_M=C3=BCller?= <juergen@sender.example>\r\n"
    b'To: Anna <anna@example.org>, "Team, all of it" <team46@lists.example>\r\n'
    b"Cc: Bob <bob@example.com>, carol@example.net\r\n"
    b"Subject: Re: [project46] =?utf-8?q?Termine_f=C3=BCr_die_n=C3=A4chste_Woche?=\r\n"
    b"Date: Sat, 21 Nov 2026 10:11:10 +0100\r\n"
    b"Message-ID: <a1b2c3@sender.example>\r\n"
    b"List-Id: Project 46 <project46.lists.example>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + b"Some text.\r\n" * 200
)


def script() -> str:
    """One chain of if and elsif for each five rules, as filter editors write them."""
    lines = ['require ["fileinto", "imap4flags"];']
    for number in range(RULES):
        name = f"project{number}." if number == MATCHING else f"other{number}."
        test = (
            f'header :contains "subject" "[{name[:-1]}]x"',
            f'address :contains ["to", "cc"] "{name}lists.example"',
            f'address :domain :is "from" "{name}example"',
            f'allof (header :contains "list-id" "{name}", not header :contains "subject" "digest")',
            f'anyof (header :matches "subject" "*{name}*", exists "x-{name[:-1]}")',
        )[number % 5 if number != MATCHING else 3]
        word = "if" if number % 5 == 0 else "elsif"
        lines.append(f'{word} {test} {{ fileinto "Lists/{number}"; stop; }}')
    return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--json", action="store_true")
    arguments.add_argument("--seconds", type=float, default=1.0, help="CPU time for each measurement")
    args = arguments.parse_args()
    text = script()
    compiled = sieve.compile(text)
    message = parse(MESSAGE)
    where = sieve.Environment(sender="a@b.example", recipient="anna@example.org", now=datetime.now(UTC))
    outcome = sieve.run(compiled, message, where)
    assert outcome.actions == (sieve.FileInto(f"Lists/{MATCHING}"),), outcome
    found = {
        "run_us": _measure(lambda: sieve.run(compiled, message, where), args.seconds),
        "compile_us": _measure(lambda: sieve.compile(text), args.seconds),
        "parse_message_us": _measure(lambda: parse(MESSAGE), args.seconds),
        "steps": outcome.steps,
    }
    if args.json:
        print(json.dumps(found))
        return
    verdict = "" if found["run_us"] <= TARGET_US else "  MISSED"
    print(f"run of {RULES} rules  {found['run_us']:8.1f} us, {outcome.steps} steps{verdict}")
    print(f"compile          {found['compile_us']:8.1f} us for {len(text)} characters")
    print(f"parse message    {found['parse_message_us']:8.1f} us for {len(MESSAGE)} octets")


def _measure(call: Callable[[], object], seconds: float) -> float:
    """Microseconds of CPU time of one call: the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        count, began = 0, time.process_time()
        while (took := time.process_time() - began) < seconds / 5:
            call()
            count += 1
        best = min(best, took / count * 1e6)
    return round(best, 1)


if __name__ == "__main__":
    main()
