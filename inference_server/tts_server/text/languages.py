"""Matches language tags."""

from collections.abc import Collection


def match(tag: str, known: Collection[str]) -> str | None:
    """The known language that a BCP 47 tag means: itself in any case, else its primary subtag's; None for none.

    Languages known by a longer tag are found by their primary subtag too, so `zh` finds `zh-CN`.
    """
    wanted = tag.lower()
    by_name = {language.lower(): language for language in known}
    if wanted in by_name:
        return by_name[wanted]
    primary = wanted.partition("-")[0]
    if primary in by_name:
        return by_name[primary]
    return next((by_name[name] for name in sorted(by_name) if name.partition("-")[0] == primary), None)
