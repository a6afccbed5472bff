"""Reads numbers in Korean text: Sino-Korean, and native Korean before the counters that ask for it."""

import re

_DIGITS = "영일이삼사오육칠팔구"
_SMALL_UNITS = ("", "십", "백", "천")
_LARGE_UNITS = ("", "만", "억", "조", "경")
_NATIVE_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_NATIVE_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")
_NATIVE_COUNTERS = "시간|시|개월|개|명|사람|살|마리|권|잔|병|번째|번|가지|군데|그루|송이|켤레|대"
_SINO_COUNTERS = frozenset({"개월"})
_NUMBER = re.compile(
    rf"(?P<number>\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.(?P<fraction>\d+))?(?P<gap> ?)(?P<counter>{_NATIVE_COUNTERS})?"
)
_SIGNS = {"%": "퍼센트", "℃": "도", "°": "도", "$": "달러", "₩": "원", "€": "유로", "&": "그리고"}
_TELEPHONE = re.compile(r"\d+(?:-\d+)+")
_MONEY = re.compile(r"([$₩€])\s?(\d[\d,.]*\d|\d)")


def spoken(text: str) -> str:
    """Return `text` with numbers and signs as words."""
    text = _MONEY.sub(lambda found: f"{found[2]}{_SIGNS[found[1]]}", text)
    text = _TELEPHONE.sub(lambda found: " ".join(map(one_by_one, found[0].split("-"))), text)
    text = _NUMBER.sub(_read, text)
    return "".join(_SIGNS.get(character, character) for character in text)


def sino(digits: str) -> str:
    """Read a whole number: `10500` is 만오백. More than 20 digits, or a leading zero, are read one by one."""
    if len(digits) > 4 * len(_LARGE_UNITS) or (len(digits) > 1 and digits[0] == "0"):
        return one_by_one(digits)
    if int(digits) == 0:
        return "영"
    parts = []
    groups = [digits[max(0, end - 4) : end] for end in range(len(digits), 0, -4)]
    for unit, group in reversed(list(zip(_LARGE_UNITS, groups, strict=False))):
        if word := _group(group):
            parts.append(unit if word == "일" and unit == "만" else word + unit)
    return "".join(parts)


def one_by_one(digits: str) -> str:
    """Read the digits of a telephone number."""
    return "".join("공" if digit == "0" else _DIGITS[int(digit)] for digit in digits)


def native(number: int) -> str:
    """Read 1 to 99 as before a counter: 21 is 스물한, 20 alone is 스무."""
    if number == 20:
        return "스무"
    return _NATIVE_TENS[number // 10] + _NATIVE_ONES[number % 10]


def _group(digits: str) -> str:
    word = ""
    for place, digit in zip(range(len(digits) - 1, -1, -1), digits, strict=True):
        if digit != "0":
            word += ("" if digit == "1" and place else _DIGITS[int(digit)]) + _SMALL_UNITS[place]
    return word


def _read(found: re.Match[str]) -> str:
    digits, fraction, counter = found["number"].replace(",", ""), found["fraction"], found["counter"] or ""
    if fraction:
        point = "".join(_DIGITS[int(digit)] for digit in fraction)
        word = f"{sino(digits)}점{point}"
    elif counter and counter not in _SINO_COUNTERS and len(digits) <= 2 and int(digits) > 0 and digits[0] != "0":
        word = native(int(digits))
    else:
        word = sino(digits)
    return word + found["gap"] + counter
