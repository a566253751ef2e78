"""Demo mail for one account: the same messages for the same owner, number and day."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from html import escape

from veredus.cli.demo import texts
from veredus.cli.demo.compose import Draft, address, file, text
from veredus.cli.demo.files import attachment
from veredus.cli.transfer.incoming import Incoming

Person = tuple[str, str]


def demo_mail(owner: Person, count: int, now: datetime) -> list[Incoming]:
    """About half a year of mail, oldest first; ``count`` messages."""
    mail = _Mail(owner, now, count)
    found: list[Incoming] = []
    for make in mail.kinds():
        found += make
        if len(found) >= count:
            break
    return sorted(found[:count], key=lambda one: one.received or now)


class _Mail:
    """Makes messages of every kind in turn."""

    def __init__(self, owner: Person, now: datetime, count: int) -> None:
        self._owner = owner
        self._now = now.replace(microsecond=0)
        self._random = random.Random(f"{owner[1]} {count}")  # noqa: S311 - the same mail each time
        self._number = 0

    def kinds(self) -> Iterator[list[Incoming]]:
        """Endless; mostly conversations."""
        yield from ([draft] for draft in self._drafts())
        while True:
            for step, conversation in enumerate(texts.CONVERSATIONS):
                yield self._conversation(conversation)
                yield [self._newsletter(step)]
                yield [self._notice(step)]
                if step % 3 == 0:
                    yield [self._receipt(step)]
                if step % 4 == 0:
                    yield [self._spam(step)]

    def _conversation(self, conversation: texts.Conversation) -> list[Incoming]:
        chance = self._random
        others = chance.sample(texts.PEOPLE, 2)
        number, day = chance.randrange(2, 60), chance.choice(texts.WEEKDAYS)
        subject = conversation.subject.format(n=number, day=day)
        moment = self._some_time_ago()
        # Some threads the owner begins, most come from others; some are on a mailing list.
        writers = [self._owner, others[0], others[1]] if chance.random() < 0.2 else [*others, self._owner]
        is_list = chance.random() < 0.25
        folder = chance.choice(("Archive", "INBOX", "INBOX", "INBOX"))
        found: list[Incoming] = []
        ids: list[str] = []
        for turn, said in enumerate(conversation.turns):
            writer = writers[turn % 3] if is_list else writers[0 if turn % 2 == 0 else -1]
            reader = self._owner if writer != self._owner else others[0]
            draft = self._draft(writer, reader, f"Re: {subject}" if ids else subject, moment)
            self._place_in_thread(draft, ids, is_list)
            names = {"name": reader[0].split()[0], "me": writer[0].split()[0], "n": number, "day": day}
            attached = conversation.attachment if turn == 0 else None
            self._write(draft, said.format(**names), attached)
            sent = writer == self._owner
            place = ("Sent",) if sent else ("Lists", "Friends") if is_list else (folder,)
            found.append(self._incoming(draft, place, moment, is_seen=sent or None))
            moment = min(moment + timedelta(hours=chance.uniform(0.3, 40)), self._now)
        return found

    def _place_in_thread(self, draft: Draft, ids: list[str], is_list: bool) -> None:
        """``ids``: the Message-IDs so far; that of ``draft`` is added."""
        if is_list:
            draft.add("List-Id", "Northlight friends <friends.lists.northlight.example>")
            draft.add("Cc", "friends@lists.northlight.example")
        if ids:
            draft.add("In-Reply-To", ids[-1])
            draft.add("References", " ".join(ids))
        ids.append(draft.value("Message-ID"))

    def _newsletter(self, step: int) -> Incoming:
        name, id, subjects = texts.NEWSLETTERS[step % len(texts.NEWSLETTERS)]
        moment = self._some_time_ago()
        subject = self._random.choice(subjects).format(n=self._random.randrange(100, 400))
        draft = self._draft((name, f"news@{id.partition('.')[2]}"), self._owner, subject, moment)
        draft.add("List-Id", f"{name} <{id}>")
        draft.add("List-Unsubscribe", f"<https://{id}/unsubscribe?u={self._number}>")
        draft.add("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
        paragraphs = self._random.sample(texts.PARAGRAPHS, 3)
        body = "".join(f"<p>{escape(paragraph)}</p>\n" for paragraph in paragraphs)
        page = (
            '<!doctype html>\n<html><body style="font-family:Georgia,serif;max-width:36em;margin:auto">\n'
            f'<h1 style="color:#264653">{escape(name)}</h1><h2>{escape(subject)}</h2>\n'
            f'<img src="cid:logo@{id}" alt="" width="120" height="64">\n{body}'
            f'<p style="font-size:small"><a href="https://{id}/unsubscribe">Unsubscribe</a></p></body></html>'
        )
        logo = file("logo.png", *attachment("logo.png", step), cid=f"logo@{id}")
        draft.body = draft.bundle(
            "alternative",
            text("\n\n".join((subject, *paragraphs)), encoding="quoted-printable"),
            draft.bundle("related", text(page, "html", encoding="base64"), logo),
        )
        return self._incoming(draft, ("Newsletters",), moment)

    def _notice(self, step: int) -> Incoming:
        name, sender, subjects, said = texts.NOTICES[step % len(texts.NOTICES)]
        moment = self._some_time_ago()
        values = {"n": self._random.randrange(3, 4000), "day": self._random.choice(texts.WEEKDAYS)}
        subject = self._random.choice(subjects).format(**values)
        draft = self._draft((name, sender), self._owner, subject, moment)
        draft.add("Auto-Submitted", "auto-generated")
        self._write(draft, said.format(**values))
        return self._incoming(draft, ("Notifications",), moment)

    def _receipt(self, step: int) -> Incoming:
        name, sender, subject, said = texts.RECEIPTS[step % len(texts.RECEIPTS)]
        moment = self._some_time_ago()
        number = self._random.randrange(10_000, 99_999)
        draft = self._draft((name, sender), self._owner, subject.format(n=number), moment)
        self._write(draft, said, f"{number}.pdf")
        return self._incoming(draft, ("Archive", "Receipts"), moment)

    def _spam(self, step: int) -> Incoming:
        name, sender, subject, said = texts.SPAM[step % len(texts.SPAM)]
        moment = self._some_time_ago()
        number = self._random.randrange(1_000, 999_999)
        draft = self._draft((name, sender), self._owner, subject.format(n=number), moment)
        self._write(draft, said)
        place = ("Junk",) if step % 8 else ("Trash",)
        return self._incoming(draft, place, moment, keywords=frozenset({"$junk"}))

    def _drafts(self) -> Iterator[Incoming]:
        for subject, said in texts.DRAFTS:
            moment = self._some_time_ago()
            draft = self._draft(self._owner, self._random.choice(texts.PEOPLE), subject, moment)
            self._write(draft, said)
            yield self._incoming(draft, ("Drafts",), moment, keywords=frozenset({"$draft", "$seen"}))

    def _some_time_ago(self) -> datetime:
        """More of it lately than long ago."""
        return self._now - timedelta(
            days=180 * self._random.random() ** 2, minutes=self._random.randrange(600)
        )

    def _draft(self, sender: Person, to: Person, subject: str, moment: datetime) -> Draft:
        self._number += 1
        domain = sender[1].partition("@")[2]
        arrived = format_datetime(moment + timedelta(seconds=2))
        trace = f"from mail.{domain} ([192.0.2.{self._number % 250 + 1}]) by localhost with ESMTP; {arrived}"
        fields = [
            ("Received", trace),
            ("From", address(*sender)),
            ("To", address(*to)),
            ("Subject", subject),
            ("Date", format_datetime(moment)),
            ("Message-ID", f"<demo.{self._number}.{self._owner[1].partition('@')[0]}@{domain}>"),
        ]
        return Draft(fields, number=self._number)

    def _write(self, draft: Draft, said: str, attached: str | None = None) -> None:
        body = text(said, encoding=self._random.choice(("8bit", "8bit", "quoted-printable", "base64")))
        if attached:
            found = file(attached, *attachment(attached, self._random.randrange(1000)))
            body = draft.bundle("mixed", body, found)
        draft.body = body

    def _incoming(
        self,
        draft: Draft,
        mailbox: tuple[str, ...],
        moment: datetime,
        *,
        keywords: frozenset[str] = frozenset(),
        is_seen: bool | None = None,
    ) -> Incoming:
        """``is_seen`` None: what is old was mostly read."""
        if is_seen is None:
            is_old = self._now - moment > timedelta(days=10)
            is_seen = self._random.random() < (0.95 if is_old else 0.35)
        if is_seen:
            keywords |= {"$seen"}
        if mailbox[0] == "INBOX" and self._random.random() < 0.08:
            keywords |= {"$flagged"}
        return Incoming(draft.to_bytes(), f"demo message {self._number}", mailbox, keywords, moment)
