"""The forms under which a crop's code or name is looked up: the same crop is written in many ways.

Each function gives forms from strict to loose. A looser form is tried where the stricter ones find nothing.
"""

import re
import unicodedata
from collections.abc import Iterator

from catalogs.taxonomy import plain_code

LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})
"""Letters that Unicode does not take apart into a plain one and an accent."""

DAMAGE = re.compile("[?\ufffd¤]")
"""What programs write for letters that they cannot."""

LEAST_LEFT = 4
"""Characters that must be left of a damaged name: fewer name too many crops."""


def code_keys(code: str) -> tuple[str, str]:
    """As written but for case; without the zeros before numbers (001 and 1, 001;006 and 1;6)."""
    folded = (plain_code(code) or "").casefold()
    return folded, re.sub(r"(^|;\s*)0+(?=\d)", r"\1", folded)


def exact_key(name: str) -> str:
    """One form for all kinds of blanks, cases and compositions of letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def accentless_key(name: str) -> str:
    """Words and signs of proportion only, without accents, quotes, dashes and other punctuation."""
    letters = unicodedata.normalize("NFKD", exact_key(name).translate(LETTERS))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(re.findall(r"\w+|[<>%+]", bare))


def damaged_key(name: str) -> str:
    """What is left where every letter beyond ASCII was lost; empty where that is too little."""
    left = re.sub(r"[^a-z0-9]+", "?", exact_key(name)).strip("?")
    return left if len(left.replace("?", "")) >= LEAST_LEFT else ""


def is_damaged(name: str) -> bool:
    return DAMAGE.search(name) is not None


def readings(name: str) -> Iterator[str]:
    """The name, and what it would be had its bytes been read in the wrong encoding.

    Lithuania's file is CP1257 read as Latin-1; other files are CP1250 read so, or UTF-8 read as a Windows code page.
    """
    yield name
    for wrong, right in (("latin-1", "cp1257"), ("latin-1", "cp1250"), ("latin-1", "utf-8"), ("cp1252", "utf-8")):
        try:
            mended = name.encode(wrong).decode(right)
        except UnicodeError:
            continue
        if mended != name:
            yield mended
