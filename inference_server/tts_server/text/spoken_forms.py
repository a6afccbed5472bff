"""Writes numbers, dates, times, money, ranges, units and phone numbers as the words that are read for them.

The grammars of `wetext` do it, for English and Chinese. They get only the words around a digit, so that the rest of a
text cannot change, and they get those in a form that they read well: rules before them mend what they read badly. Where
a grammar fails, the text stays as it is. See docs/decisions/0045-numbers-in-words.md.

Engines that read numbers themselves do not need this. It runs in their worker process, where it holds up nobody else.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tts_server.text.language_detection import code_of

LANGUAGES = ("en", "zh")
"""Languages with a grammar."""
LONGEST_CHARACTERS = 120
"""Longest piece for a grammar: its time grows faster than the length, and no number has as many."""
MOST_SECONDS = 0.5
"""Time for one text; what is left then stays as it is."""

Grammar = Callable[[str], str]
"""Returns a text with its numbers in words. May raise anything."""

_DIGIT = re.compile(r"[\d½¼¾⅓⅔]")
_WORD = re.compile(r"\S+")
_CHINESE_CLAUSE = re.compile(r"(?:[^，。！？；、,!?;\s]|(?<=\d)[,](?=\d)|(?<=\d)\s(?=[A-Za-z°]))+")
_ESCAPED = re.compile(r"\\([\"\\])")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A text in words, and the reason of each part that stayed as it was: `error`, `too_long`, `timeout`."""

    text: str
    failures: tuple[str, ...] = ()


class SpokenForms:
    """Rewrites texts in some of `LANGUAGES`. Loads a grammar when it first needs one."""

    def __init__(
        self,
        languages: tuple[str, ...],
        grammar: Callable[[str], Grammar] | None = None,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._languages = frozenset(map(code_of, languages))
        self._grammar = grammar or load_grammar
        self._seconds = seconds

    def rewrite(self, text: str, language: str | None) -> Rewritten:
        """Return `text` in words. Text without a digit, and in another language, is unchanged. Never raises."""
        code = code_of(language or "")
        if code not in self._languages or code not in _PIECES or _DIGIT.search(text) is None:
            return Rewritten(text)
        until = self._seconds() + MOST_SECONDS
        done: list[str] = []
        failures: list[str] = []
        end = 0
        for start, stop in _PIECES[code](text):
            done.append(text[end:start])
            piece, end = text[start:stop], stop
            try:
                done.append(self._in_words(piece, code, until))
            except _Unread as failure:
                done.append(piece)
                failures.append(failure.args[0])
        done.append(text[end:])
        return Rewritten("".join(done), tuple(failures))

    def _in_words(self, piece: str, code: str, until: float) -> str:
        if len(piece) > LONGEST_CHARACTERS:
            raise _Unread("too_long")
        if self._seconds() > until:
            raise _Unread("timeout")
        try:
            prepared = _prepared(piece, code)
            spoken = _ESCAPED.sub(r"\1", self._grammar(code)(prepared))
        except Exception as error:  # grammars assert on what they do not know
            raise _Unread("error") from error
        if not spoken.strip():
            raise _Unread("error")
        return spoken


class _Unread(Exception):  # noqa: N818 - named after what happened
    """A piece stays as it is; the argument is the reason."""


@cache
def load_grammar(language: str) -> Grammar:
    """Load the two graphs of a language: one tags what a text contains, the other writes that in words.

    `wetext` itself would load those of all its languages, in both directions, and take ten times as long. Raises an
    exception if its files are not where they are expected.
    """
    import kaldifst

    package = find_spec("wetext")
    if package is None or not package.submodule_search_locations:
        raise ImportError("wetext is not installed")
    folder = Path(package.submodule_search_locations[0]) / "fsts" / language / "tn"
    tag, verbalize = (kaldifst.TextNormalizer(str(folder / f"{name}.fst")) for name in ("tagger", "verbalizer"))

    def grammar(text: str) -> str:
        spoken: str = verbalize(in_spoken_order(tag(text), language))
        return spoken

    return grammar


_ORDERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "date": ("preserve_order", "text", "day", "month", "year"),
        "money": ("integer_part", "fractional_part", "quantity", "currency_maj"),
    },
    "zh": {
        "date": ("year", "month", "day"),
        "fraction": ("denominator", "numerator"),
        "measure": ("denominator", "numerator", "value"),
        "money": ("value", "currency"),
        "time": ("noon", "hour", "minute", "second"),
    },
}
"""Order in which the fields of a tag are read, as in `wetext.constants`."""
_TAG = re.compile(r"\s*(\w+) \{((?:\s*\w+: \"(?:[^\"\\]|\\.)*\")+) \}\s*", re.DOTALL)
_FIELD = re.compile(r"\s*(\w+): \"((?:[^\"\\]|\\.)*)\"", re.DOTALL)


def in_spoken_order(tagged: str, language: str) -> str:
    """Sort the fields of each tag, `date { month: "may" day: "fifth" }`, as they are read. Raises ValueError."""
    tags: list[str] = []
    end = 0
    while end < len(tagged):
        tag = _TAG.match(tagged, end)
        if tag is None:
            raise ValueError("not a sequence of tags")
        end = tag.end()
        fields = dict(_FIELD.findall(tag[2]))
        order = _ORDERS[language].get(tag[1], ()) if fields.get("preserve_order") != "true" else ()
        names = [*(name for name in order if name in fields), *(name for name in fields if name not in order)]
        tags.append(f"{tag[1]} {{{''.join(_field(name, fields[name]) for name in names)} }}")
    if not tags:
        raise ValueError("no tag")
    return " ".join(tags)


def _field(name: str, value: str) -> str:
    return f' {name}: "{value}"'


def _english_pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield where there are words with a digit, each with the words beside it."""
    words = [word.span() for word in _WORD.finditer(text)]
    begin = stop = -1
    for number, (start, end) in enumerate(words):
        if _DIGIT.search(text, start, end) is None:
            continue
        first, last = max(number - 1, 0), min(number + 1, len(words) - 1)
        if first > stop:
            if stop >= 0:
                yield words[begin][0], words[stop][1]
            begin = first
        stop = last
    if stop >= 0:
        yield words[begin][0], words[stop][1]


def _chinese_pieces(text: str) -> Iterator[tuple[int, int]]:
    """Yield where there are clauses with a digit."""
    for clause in _CHINESE_CLAUSE.finditer(text):
        if _DIGIT.search(clause[0]) is not None:
            yield clause.span()


_PIECES: Mapping[str, Callable[[str], Iterator[tuple[int, int]]]] = {"en": _english_pieces, "zh": _chinese_pieces}

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

_ENGLISH_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_DECADES = {
    "00": "hundreds", "10": "tens", "20": "twenties", "30": "thirties", "40": "forties", "50": "fifties",
    "60": "sixties", "70": "seventies", "80": "eighties", "90": "nineties",
}  # fmt: skip
_MONEY = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_MONTHS = (
    "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?|"
    "Nov(?:ember)?|Dec(?:ember)?"
)
_SCALES = r"\s*(?:million|billion|trillion|thousand|k\b|m\b|bn\b)"
_WINS = "获胜|取胜|胜|领先|落后|战平|告负|落败|击败|大胜"
_CHINESE_DIGITS = "零一二三四五六七八九"


def _one_by_one(digits: str) -> str:
    return " ".join(_ENGLISH_DIGITS[int(digit)] for digit in digits)


def _chinese_one_by_one(digits: str) -> str:
    return "".join(_CHINESE_DIGITS[int(digit)] for digit in digits)


def _phone(number: re.Match[str]) -> str:
    groups = [_one_by_one(group) for group in re.findall(r"\d+", number[0])]
    return ("plus " if number[0].startswith("+") else "") + ", ".join(groups)


def _date(date: re.Match[str]) -> str:
    day = int(date[1])
    suffix = "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"the {day}{suffix} of {date[2]} {date[3]}" if 1 <= day <= 31 else date[0]


def _money(amount: re.Match[str]) -> str:
    whole, part = _MONEY[amount[1]]
    units, parts = amount[2], int(amount[3] or 0)
    words = [f"{units} {whole}{'' if units == '1' else 's'}"] if units.strip("0") or not parts else []
    if parts:
        plural = "pence" if part == "penny" else f"{part}s"
        words.append(f"{parts} {part if parts == 1 else plural}")
    return " and ".join(words)


def _decade(years: re.Match[str]) -> str:
    century, decade = years[1] or "", years[2]
    if not century:
        return _DECADES[decade] if decade not in {"00", "10"} else years[0]
    if decade == "00" and century == "20":
        return "two thousands"
    return f"{century} {_DECADES[decade]}"


_RULES: Mapping[str, tuple[Rule, ...]] = {
    "en": (
        (
            re.compile(r"(?<![\w.,/-])(?:\+\d{1,3}[ -]?)?(?:\(\d{2,4}\) ?|\d{3,4}[ -])\d{3,4}[ -]\d{3,4}(?![\w-])"),
            _phone,
        ),
        (re.compile(r"(?<![\d.,])\d{1,3}(?: \d{3})+(?![\d.,]\d|\d)"), lambda number: number[0].replace(" ", ",")),
        (re.compile(rf"([$€£])(\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.(\d\d))?(?![\d.,]\d|\d|{_SCALES})"), _money),
        (re.compile(r"(?<![\d.,/:-])([1-9])000(?![\d.,:/-]?\d)"), r"\1,000"),
        (re.compile(r"(?<![\d.,])(?=1,\d{3}(?![\d,]))"), "one "),  # the grammar leaves it out
        (re.compile(r"(?<!\d)1¢"), "1 cent"),
        (re.compile(r"(?<=\d)¢"), " cents"),
        (re.compile(r"#(?=\d)"), "number "),
        (re.compile(r"\b[Nn]os?\. ?(?=\d)"), "number "),
        (re.compile(r"(?<=\d)[–—](?=\d)"), "-"),
        (re.compile(r"(?<![\d.,-])(1[1-9]|20)?(\d0)s\b"), _decade),
        (re.compile(r"(?<=[Ii]n )(1[1-9])0([1-9])(?![\d.,]\d|\d)"), r"\1 oh \2"),
        (re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? ({_MONTHS})\.?,? (\d{{4}})\b"), _date),
        (re.compile(r"\b24/7\b"), "24 7"),
        (re.compile(r"(?<=[A-Za-z]\d)\.(?=\d)"), " point "),
        (re.compile(r"(?<![\d.])(\d+)\.(\d+)\.(\d+)(?![\d.]*\d)"), r"\1 point \2 point \3"),
        (re.compile(r"(?<=\d) ?m(?![\w²³/'])"), " meters"),
    ),
    "zh": (
        (re.compile(r"(\d+(?:\.\d+)?%)\s?[-–~～至]\s?(?=\d+(?:\.\d+)?%)"), r"\1到"),
        (re.compile(r"(?<![\d/.])(\d{1,3})/(\d{1,3})(?![\d/.])"), r"\2分之\1"),
        (re.compile(rf"(?<![\d.-])(\d{{1,3}})[-–](\d{{1,3}})(?=\s?(?:{_WINS}))"), r"\1比\2"),
        (
            re.compile(r"(?<=[A-Z])\d{3,5}(?![\d.%/:-]|[A-Za-z])|(?<=[A-Z]座)\d{3,5}(?!\d)"),
            lambda number: _chinese_one_by_one(number[0]),
        ),
        (
            re.compile(r"((?:验证码|密码|编号|单号|尾号|邮编|房号|代码|账号|卡号|工号|学号|微信号|QQ号)[是为：:]?\s?)(\d{3,12})(?!\d)"),
            lambda number: number[1] + _chinese_one_by_one(number[2]),
        ),
        (
            re.compile(r"(?<!\d)((?:19|20)\d\d)[-–—~～]((?:19|20)\d\d)(?=学年|赛季|财年|年度)"),
            lambda years: f"{_chinese_one_by_one(years[1])}到{_chinese_one_by_one(years[2])}",
        ),
    ),
}  # fmt: skip
"""Rules before the grammar, for what it reads otherwise, in order."""


def _prepared(piece: str, code: str) -> str:
    for pattern, replacement in _RULES[code]:
        piece = pattern.sub(replacement, piece)
    return piece
