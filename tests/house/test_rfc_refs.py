"""A cited section exists: `RFC 8620 §5.3` is checked against the tables of contents of the RFCs that we implement."""

import re

import pytest

from house.sources import text_files

# The sections of each RFC, as `chapter: number of its sections`; deeper levels are checked by their parents.
SECTIONS = {
    "8620": {1: 8, 2: 2, 3: 10, 4: 1, 5: 8, 6: 3, 7: 3, 8: 8, 9: 5, 10: 2},
    "8621": {1: 6, 2: 6, 3: 2, 4: 10, 5: 2, 6: 4, 7: 5, 8: 2, 9: 6, 10: 6, 11: 2},
    "9007": {1: 3, 2: 2, 3: 3, 4: 2, 5: 0},
}
CITED = re.compile(r"RFC (\d{4}) (?:section |§)(\d+)(?:\.(\d+))?")


def citations() -> list[tuple[str, str, int, int]]:
    return [
        (f"{path}: {hit[0]}", hit[1], int(hit[2]), int(hit[3] or 0))
        for path, text in text_files()
        if path.suffix in {".py", ".md"}
        for hit in CITED.finditer(text)
    ]


@pytest.mark.parametrize("rfc", SECTIONS)
def test_a_cited_section_exists(rfc: str) -> None:
    chapters = SECTIONS[rfc]
    wrong = [
        where
        for where, number, chapter, section in citations()
        if number == rfc and section > chapters.get(chapter, -1)
    ]
    assert wrong == []
