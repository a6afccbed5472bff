"""Matches BCP 47 language tags."""

from collections.abc import Collection


def match(tag: str, known: Collection[str]) -> str | None:
    """Return the known language that `tag` means: the same tag in any case, else by its primary subtag, else None.

    A known language with a longer tag matches by its primary subtag too: `zh` finds `zh-CN`.
    """
    wanted = tag.lower()
    by_name = {language.lower(): language for language in known}
    if wanted in by_name:
        return by_name[wanted]
    primary = wanted.partition("-")[0]
    if primary in by_name:
        return by_name[primary]
    return next((by_name[name] for name in sorted(by_name) if name.partition("-")[0] == primary), None)
