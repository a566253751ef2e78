"""What the demo mail says: people, conversations in several languages, newsletters, notices, spam.

``{name}`` is the first name of the person written to, ``{me}`` that of the writer, ``{n}`` a number,
``{day}`` a day of the week in English.
"""

from typing import NamedTuple


class Conversation(NamedTuple):
    """A subject, and what is said in turn."""

    subject: str
    turns: tuple[str, ...]
    # The file that comes with the first message, by the kinds of ``files``.
    attachment: str | None = None


PEOPLE = (
    ("Carla Mendes", "carla.mendes@harbour.example"),
    ("David Okafor", "d.okafor@northlight.example"),
    ("Élodie Martin", "elodie.martin@atelier.example"),
    ("Jürgen Weiß", "juergen.weiss@werkstatt.example"),
    ("佐藤 美咲", "misaki.sato@kumo.example"),
    ("Nadia Rahman", "nadia@northlight.example"),
    ("Ольга Петрова", "olga.petrova@pochta.example"),
    ("Peter Lindqvist", "peter@lindqvist.example"),
    ("Sofía Álvarez", "sofia.alvarez@harbour.example"),
    ("王 小明", "xiaoming.wang@kumo.example"),
    ("Tom Brennan", "tom.brennan@werkstatt.example"),
    ("ليلى حداد", "leila.haddad@atelier.example"),
)

CONVERSATIONS = (
    Conversation(
        "Offsite in {day} week {n}: where do we stay?",
        (
            "Hi {name},\n\nI looked at three houses by the lake. The large one has eleven beds and a "
            "kitchen we can "
            "really cook in; the other two are closer to the station.\n\nShall I hold the large one until "
            "{day}?\n\n{me}",
            "The large one, please. Eleven beds is exactly what we need.\n\nWho drives? I can take four "
            "people.\n\n{me}",
            "I can take three more, and the projector.\n\n{me}",
            "Booked. The deposit is paid, the rest is due on {day}. I have put the address into the "
            "calendar.\n\n{me}",
        ),
    ),
    Conversation(
        "Budget {n} - second draft",
        (
            "Hello {name},\n\nattached is the second draft. Travel is down by a fifth, hosting is up a "
            "little because of "
            "the new region.\n\nCould you check the lines for your team before {day}?\n\nThanks\n{me}",
            "Looks right to me, apart from line 14: the licences are yearly, not monthly.\n\n{me}",
            "Good catch. Corrected in the sheet.\n\n{me}",
        ),
        "budget.csv",
    ),
    Conversation(
        "Connection pool exhausted after the upgrade (ticket {n})",
        (
            "Since the upgrade on {day} the workers hold connections for about 40 seconds longer than "
            "before. The graph "
            "is attached; the steps are quite visible.\n\nDoes anybody see the same?\n\n{me}",
            "Yes, on two of six machines. Both run the old kernel, which may or may not matter.",
            "> Both run the old kernel\n\nIt does not: I see it on a new one. With keepalive off it is "
            "gone.\n\n{me}",
            "So it is the idle timeout of the proxy: 60 s there, 75 s here. I set ours to 50 s and watch "
            "it until {day}.",
            "Quiet for two days now. I close the ticket; the explanation is in the wiki.\n\n{me}",
        ),
        "graph.png",
    ),
    Conversation(
        "Dinner on {day}?",
        (
            "We are at the Portuguese place again, eight o'clock. Are you coming?\n\n{me}",
            "With pleasure. I may be ten minutes late.\n\n{me}",
            "No problem, the soup takes its time there anyway :-)",
        ),
    ),
    Conversation(
        "Protokoll der Sitzung Nr. {n}",
        (
            "Liebe Kolleginnen und Kollegen,\n\nanbei das Protokoll. Bitte prüft die Beschlüsse zu Punkt 3 "
            "(Lüftungsanlage) und Punkt 5 (Schlüsselübergabe) bis nächste Woche.\n\nViele Grüße\n{me}",
            "Danke! Bei Punkt 5 fehlt, dass auch der Keller übergeben wird. Sonst "
            "einverstanden.\n\nGruß\n{me}",
            "Ist ergänzt, siehe neue Fassung im Ordner.\n\n{me}",
        ),
        "protokoll.pdf",
    ),
    Conversation(
        "Devis pour l'atelier, numéro {n}",
        (
            "Bonjour {name},\n\nvous trouverez ci-joint notre devis révisé. La livraison peut être "
            "assurée dès la "
            "semaine prochaine ; le délai dépend surtout du bois.\n\nBien à vous,\n{me}",
            "Bonjour,\n\nmerci, c'est parfait. Je vous envoie le bon de commande signé "
            "demain.\n\nCordialement\n{me}",
        ),
        "devis.pdf",
    ),
    Conversation(
        "¿Quedamos para revisar el capítulo {n}?",
        (
            "Hola, {name}:\n\nhe terminado las correcciones del capítulo. ¿Te viene bien vernos mañana "
            "por la mañana "
            "para repasarlo juntas?\n\nUn abrazo,\n{me}",
            "¡Genial! A las diez en la cafetería de siempre. Llevo el manuscrito impreso.\n\n{me}",
        ),
    ),
    Conversation(
        "来月の打ち合わせについて（第{n}回）",
        (
            "{name} 様\n\nお世話になっております。来月の打ち合わせの日程ですが、"
            "10日の午後はいかがでしょうか。\n会議室は予約済みです。\n\nよろしくお願いいたします。\n{me}",
            "ご連絡ありがとうございます。10日の14時からでお願いします。資料は前日までにお送りします。\n\n{me}",
        ),
    ),
    Conversation(
        "关于第{n}版说明书的修改",
        (
            "{name}，你好：\n\n说明书第三章的图已经更新，请看附件。还有两处文字需要你确认。\n\n谢谢！\n{me}",
            "收到，两处都没有问题。可以印刷了。\n\n{me}",
        ),
        "graph.png",
    ),
    Conversation(
        "Отчёт за квартал, версия {n}",
        (
            "Здравствуйте, {name}!\n\nОтправляю отчёт. Цифры по складу уточнены, вывод на последней "
            "странице.\n\n"
            "С уважением,\n{me}",
            "Спасибо, всё понятно. Передам дальше в пятницу.\n\n{me}",
        ),
        "budget.csv",
    ),
    Conversation(
        "دعوة إلى معرض الصور رقم {n}",
        (
            "مرحباً {name}،\n\nيسعدنا دعوتك إلى افتتاح المعرض يوم الخميس في السابعة مساءً.\n\nمع أطيب "
            "التحيات\n{me}",
        ),
    ),
    Conversation(
        "Photos from the ridge walk",
        (
            "Here is the one with the two goats. The rest, {n} of them, when I am home.\n\n{me}",
            "Lovely light! May I use it for the invitation?\n\n{me}",
            "Of course.",
        ),
        "photo.png",
    ),
)

# Name of the list, its id, subjects. Each message is HTML with a text alternative.
NEWSLETTERS = (
    (
        "The Weekly Tide",
        "tide.harbour.example",
        (
            "Issue {n}: maps of places that are not there",
            "Issue {n}: the last paper timetable",
            "Issue {n}: salt",
        ),
    ),
    (
        "Gartenbrief",
        "gartenbrief.werkstatt.example",
        (
            "Nr. {n}: Jetzt Knoblauch stecken",
            "Nr. {n}: Was der Igel braucht",
            "Nr. {n}: Süßkirschen schneiden",
        ),
    ),
    (
        "Release Radar",
        "radar.northlight.example",
        (
            "{n} releases you may have missed",
            "Why is everybody rewriting their queue? ({n})",
            "Changelog digest {n}",
        ),
    ),
)

PARAGRAPHS = (
    "The ferry stopped thirty years ago, yet the timetable is still printed each spring, and each spring "
    "somebody "
    "waits at the pier. We asked them what they are waiting for.",
    "A short one this week: three links, one recipe, and a correction. The bridge in the last issue is "
    "410 metres long.",
    "Readers sent us 62 photographs of doors. Nine of them are of the same door.",
    "Im Herbst ist der Boden noch warm. Wer jetzt pflanzt, gießt im nächsten Jahr weniger - und erntet "
    "früher.",
)

# Sender, address, subjects, texts.
NOTICES = (
    (
        "Build Robot",
        "builds@northlight.example",
        ("[tide/main] Build #{n} failed", "[tide/main] Build #{n} is back to normal"),
        "Job: tide/main\nNumber: {n}\nDuration: 4 min 12 s\n\ntest_harbour.py::test_tide_table  see the "
        "log for details\n",
    ),
    (
        "Northlight Monitoring",
        "alerts@northlight.example",
        ("RESOLVED: disk usage above 85 % on node-{n}", "WARNING: disk usage above 85 % on node-{n}"),
        "Check: disk\nHost: node-{n}\nValue: 86.1 %\nRunbook: https://wiki.northlight.example/disk\n",
    ),
    (
        "City Library",
        "no-reply@library.example",
        ("Your loan is due on {day}", "A book you reserved has arrived"),
        "Dear reader,\n\nyour account shows one item that is due soon. Renew it online or at the "
        "desk.\n\nLoan number {n}\n",
    ),
)

RECEIPTS = (
    (
        "Kumo Cloud",
        "billing@kumo.example",
        "Invoice {n}",
        "Thank you for your payment. The invoice is attached.",
    ),
    (
        "Bahnhof Bikes",
        "shop@bikes.example",
        "Ihre Rechnung {n}",
        "vielen Dank für Ihre Bestellung. Rechnung anbei.",
    ),
)

SPAM = (
    (
        "Prize Department",
        "winner@lucky.invalid",
        "You have WON {n} EUR!!!",
        "Claim your prize within 24 hours.",
    ),
    (
        "Dr. M. Abrams",
        "abrams@legal.invalid",
        "Confidential proposal {n}",
        "I write to you in strict confidence.",
    ),
)

DRAFTS = (
    ("Speech, first try", "Dear all,\n\nwhen I was asked to say a few words, I thought of"),
    ("Re: the flat upstairs", "Thank you for letting me know. I would like to see it, but"),
    ("", "Ideas:\n- soup festival\n- a map of all benches\n-"),
)

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
