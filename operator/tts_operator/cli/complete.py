"""The program `kubectl_complete-tts`: kubectl runs it to complete `kubectl tts`."""

import sys

from tts_operator.calendar.tz_database import use_pinned_database
from tts_operator.cli.completion_command import complete
from tts_operator.cli.standard_output import reader_may_exit


def main() -> int:
    """Print what may stand in place of the last word."""
    use_pinned_database()
    with reader_may_exit():
        sys.stdout.write(complete(sys.argv[1:]))
    return 0
