"""fileinto (RFC 5228 §4.1) and where to: mailbox (RFC 5490), special-use (RFC 8579), mailboxid (RFC 9042).

And copy (RFC 3894), for redirect as well.
"""

import re

from veredus.formats.sieve.errors import RunError
from veredus.formats.sieve.flags import flags_of
from veredus.formats.sieve.outcome import FileInto
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec, Tag
from veredus.formats.sieve.state import Command, Run, Test

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _fileinto(args: Arguments) -> Command:
    mailbox, flags = args.texts(0), flags_of(args)
    create, copy = args.has("create"), args.has("copy")
    use, id = args.optional("specialuse"), args.optional("mailboxid")
    if use is not None and id is not None:
        raise args.error(":mailboxid does not go with :specialuse", "mailboxid")

    def fileinto(run: Run) -> None:
        path = mailbox.one(run)
        if not path or _CONTROL.search(path):
            raise RunError("fileinto with what is no name of a mailbox")
        run.act(
            FileInto(
                path,
                flags(run),
                create,
                use.one(run) if use else None,
                id.one(run) if id else None,
                run.edited,
            )
        )
        run.keeps = run.keeps and copy

    return fileinto


def _mailboxexists(args: Arguments) -> Test:
    paths = args.texts(0)
    return lambda run: all(run.environment.mailboxes.exists(path) for path in paths.of(run))


def _mailboxidexists(args: Arguments) -> Test:
    ids = args.texts(0)
    return lambda run: all(run.environment.mailboxes.exists_id(id) for id in ids.of(run))


def _specialuse_exists(args: Arguments) -> Test:
    path, uses = args.optional(0), args.texts(1)

    def specialuse_exists(run: Run) -> bool:
        where = path.one(run) if path else None
        return all(run.environment.mailboxes.exists_special_use(use, where) for use in uses.of(run))

    return specialuse_exists


FILEINTO = Extension(("fileinto",), commands=(Spec("fileinto", _fileinto, (Kind.STRING,)),))
COPY = Extension(("copy",), tags={"fileinto": (Tag("copy"),), "redirect": (Tag("copy"),)})
MAILBOX = Extension(
    ("mailbox",),
    tests=(Spec("mailboxexists", _mailboxexists, (Kind.STRINGS,)),),
    tags={"fileinto": (Tag("create"),)},
)
SPECIAL_USE = Extension(
    ("special-use",),
    tests=(Spec("specialuse_exists", _specialuse_exists, (Kind.STRING, Kind.STRINGS), optional="first"),),
    tags={"fileinto": (Tag("specialuse", Kind.STRING),)},
)
MAILBOXID = Extension(
    ("mailboxid",),
    tests=(Spec("mailboxidexists", _mailboxidexists, (Kind.STRINGS,)),),
    tags={"fileinto": (Tag("mailboxid", Kind.STRING),)},
)
