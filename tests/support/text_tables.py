"""Texts with what is expected of them: their language, and how their numbers are read."""

import csv
import re
from pathlib import Path

FOLDER = Path(__file__).parent


def texts_by_language() -> list[tuple[str, str]]:
    """Held-out texts, 20 in each of ten languages, from a word to a paragraph: no threshold was chosen by them."""
    return [(language, text) for language, text in _rows("texts_by_language.tsv")]


def spoken_forms(language: str) -> list[tuple[str, str, list[str]]]:
    """Kind, text, and every reading that is right."""
    return [(kind, text, readings.split("|")) for kind, text, readings in _rows(f"spoken_forms.{language}.tsv")]


def words(text: str, language: str) -> str:
    """Words without case and punctuation; the English `and` inside numbers may be there or not."""
    plain = re.sub(r"[^\w\s']|_", " ", text.lower().replace("〇", "零"))
    return "".join(plain.split()) if language == "zh" else " ".join(word for word in plain.split() if word != "and")


def _rows(name: str) -> list[list[str]]:
    with (FOLDER / name).open(encoding="utf-8") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
