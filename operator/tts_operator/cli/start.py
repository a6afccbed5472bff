"""Entry point of `tts-operator`, which obeys SIGTERM from its first moment.

The kernel drops signals to PID 1 that it has no handler for, and the imports behind the command line take seconds on a
busy node: a pod that was deleted meanwhile would be Terminating for its whole grace period.
"""

import os
import signal


def main() -> int:
    """Run the command line. SIGTERM ends the process at once until `tts_operator.run` handles it: nothing has begun."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from tts_operator.cli.main import main as run_command

    return run_command()


if __name__ == "__main__":
    raise SystemExit(main())
