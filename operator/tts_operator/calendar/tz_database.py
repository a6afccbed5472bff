"""The time zone database: the one of the pinned package tzdata, whatever the machine has.

An image's database is as old as the image, and zoneinfo prefers it to the package. Two replicas, or a laptop and the
operator, would then disagree about when a window opens.
"""

import importlib.metadata
import zoneinfo

import tzdata

VERSION = tzdata.IANA_VERSION
"""Release of the IANA database, such as 2026f."""


def use_pinned_database() -> None:
    """Make zoneinfo read zones from the package only. A program calls it before it reads the first zone."""
    zoneinfo.reset_tzpath(())


def version_line(program: str) -> str:
    """Line that `--version` prints: the release of the program, and that of the database."""
    return f"{program} {importlib.metadata.version('ttsfleet')} (time zones: IANA {VERSION})"
