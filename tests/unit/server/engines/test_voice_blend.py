"""Names of blended voices: what they mean, and by which name equal ones are cached."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_server.engines.voice_blend import BrokenBlend, is_blend, parse_blend

NAMES = {
    # as callers write it                one name for all that sound the same
    "af_bella+af_sky":                   "af_bella(0.5)+af_sky(0.5)",
    "af_bella(2)+af_sky(1)":             "af_bella(0.6667)+af_sky(0.3333)",
    "af_bella(4)+af_sky(2)":             "af_bella(0.6667)+af_sky(0.3333)",
    " af_bella (0.2) + af_sky( 0.1 )":   "af_bella(0.6667)+af_sky(0.3333)",
    "af_bella+af_sky(3)":                "af_bella(0.25)+af_sky(0.75)",
    "af_bella(7)":                       "af_bella(1)",
    "a+b+c":                             "a(0.3333)+b(0.3333)+c(0.3333)",
}  # fmt: skip


@pytest.mark.parametrize(("name", "canonical"), NAMES.items())
def test_a_blend_has_one_name(name: str, canonical: str) -> None:
    assert str(parse_blend(name)) == canonical
    assert str(parse_blend(canonical)) == canonical


BROKEN = {
    "af_bella+":                "Part 2 of the blend is empty: a blend is written as",
    "+af_bella":                "Part 1 of the blend is empty",
    "a++b":                     "Part 2 of the blend is empty",
    "af_bella(":                "Part 1 of the blend is not a name with a weight: a blend is written as",
    "af_bella(1)(2)":           "Part 1 of the blend is not a name with a weight",
    "af_sky+(2)":               "Part 2 of the blend is not a name with a weight",
    "af_bella()":               "The weight of part 1 of the blend must be a number",
    "af_sky+af_bella(two)":     "The weight of part 2 of the blend must be a number",
    "af_bella(-1)+af_sky":      "The weight of part 1 of the blend must be a number above 0",
    "af_bella(1e9)":            "The weight of part 1 of the blend must be a number",
    "af_bella(٣)":              "The weight of part 1 of the blend must be a number",
    "af_bella(1000000)":        "The weight of part 1 of the blend must be a number above 0 and below 1000000",
    "af_bella(nan)+af_sky":     "The weight of part 1 of the blend must be a number",
    "af_bella(0)+af_sky":       "The weight of part 1 of the blend must be a number above 0",
    "af_bella+af_sky+af_bella": "Parts 1 and 3 of the blend are one voice: name each voice once",
    "a(999999)+b(0.1)":         "differ by too much",
    "+".join("abcdefghi"):      "has 9 voices; a blend has at most 8 voices",
}  # fmt: skip


@pytest.mark.parametrize(("name", "message"), BROKEN.items())
def test_a_blend_that_is_written_wrong_says_how(name: str, message: str) -> None:
    with pytest.raises(BrokenBlend, match=message):
        parse_blend(name)


def test_an_alias_in_a_blend_is_the_voice_that_it_means() -> None:
    aliases = {"alloy": "af_bella"}
    assert str(parse_blend("alloy+af_sky", lambda name: aliases.get(name, name))) == "af_bella(0.5)+af_sky(0.5)"


@pytest.mark.parametrize(
    ("name", "blend"), {"af_bella": False, "af_bella(2)": True, "a+b": True, "中文女": False}.items()
)
def test_a_voice_is_no_blend(name: str, blend: bool) -> None:
    assert is_blend(name) is blend


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=8))
def test_the_name_of_a_blend_is_a_blend_again(weights: list[float]) -> None:
    written = "+".join(f"voice{index}({weight:.4f})" for index, weight in enumerate(weights))
    try:
        blend = parse_blend(written)
    except BrokenBlend:
        return
    again = parse_blend(str(blend))
    assert [name for name, _ in again] == [name for name, _ in blend]
    for (_, one), (_, other) in zip(blend, again, strict=True):
        assert one == pytest.approx(other, abs=0.001)
