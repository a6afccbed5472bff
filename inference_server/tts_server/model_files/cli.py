"""Command line of `tts-server fetch-model`, which runs as an init container of pods whose files are in a store."""

import argparse
import sys
from pathlib import Path

from tts_server.config.schema import DOWNLOADS_FILE, MODEL_DIRECTORY, MODEL_SOURCE_DIRECTORY

NAME = "fetch-model"


def parser() -> argparse.ArgumentParser:
    """Parser of the flags; docs/reference/tts-server.md lists them, too."""
    root = argparse.ArgumentParser(
        prog=f"tts-server {NAME}",
        description="Download a model's files by presigned URLs, and verify their checksums. Files that are there"
        " already are verified only.",
    )
    root.add_argument(
        "--downloads",
        type=Path,
        default=MODEL_SOURCE_DIRECTORY / DOWNLOADS_FILE,
        metavar="FILE",
        help="List of the files: paths, URLs and checksums, as JSON. (default: %(default)s)",
    )
    root.add_argument(
        "--directory",
        type=Path,
        default=MODEL_DIRECTORY,
        metavar="DIRECTORY",
        help="Directory for the files. (default: %(default)s)",
    )
    root.add_argument(
        "--max-bytes", type=_positive, metavar="N", help="Size of the files together, at most. Default: no limit."
    )
    root.add_argument(
        "--deadline-seconds",
        type=_positive,
        default=1800,
        metavar="N",
        help="Time for all files, with repeated attempts. (default: %(default)s)",
    )
    return root


def run(arguments: list[str]) -> int:
    """Download the files. Returns 0, or 1 after one sentence to stderr and to the container's termination message."""
    options = parser().parse_args(arguments)

    from tts_server.config.files import BrokenFile, read_model
    from tts_server.config.schema import Downloads
    from tts_server.model_files.fetch import FetchFailed, FetchLimits, fetch
    from tts_server.termination import write_termination_message

    try:
        downloads = read_model(options.downloads, Downloads)
        limits = FetchLimits(deadline_seconds=options.deadline_seconds, max_bytes=options.max_bytes)
        fetched = fetch(downloads, options.directory, limits)
    except (BrokenFile, FetchFailed) as error:
        write_termination_message(str(error))
        print(f"tts-server {NAME}: {error}", file=sys.stderr)
        return 1
    print(f"{len(downloads.files)} files are complete; {len(fetched)} of them were downloaded now")
    return 0


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return number
