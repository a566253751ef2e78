"""Attachments of the demo mail: small, valid files made here."""

import struct
import zlib


def attachment(name: str, seed: int) -> tuple[str, bytes]:
    """Media type and bytes for a file of this name; another seed gives another file."""
    match name.rpartition(".")[2]:
        case "png":
            return "image/png", _png(96 + seed % 64, 64, seed)
        case "csv":
            return "text/csv", _csv(seed)
        case _:
            return "application/pdf", _pdf(f"{name}, no. {seed}")


def _png(width: int, height: int, seed: int) -> bytes:
    """Coloured stripes."""
    colours = [bytes((40 + 30 * band, (seed * 37) % 200, 255 - 25 * band)) for band in range(7)]
    rows = b""
    for stripe in range(height // 16):
        row = b"".join(colours[(x // 8 + stripe + seed) % 7] for x in range(width))
        rows += (b"\0" + row) * 16  # filter type 0: none
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _csv(seed: int) -> bytes:
    lines = ["line;team;planned;actual"]
    for number in range(1, 25):
        planned = (seed * 7919 + number * 104_729) % 9000 + 1000
        lines.append(f"{number};team {number % 5};{planned};{planned - seed % 97}")
    return ("\r\n".join(lines) + "\r\n").encode()


def _pdf(text: str) -> bytes:
    """One page with one line."""
    page = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode("latin-1", "replace")
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(page), page),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(out + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start)
