"""Entry points of `tts-operator` and `kubectl tts`: what must hold before the imports behind a command line.

The kernel drops signals to PID 1 that it has no handler for, and the imports behind the command line take seconds on a
busy node: a pod that was deleted meanwhile would be Terminating for its whole grace period.
"""

import importlib
import os
import signal
import sys

OWN_PACKAGES = frozenset({"tts_operator", "tts_server"})


def main() -> int:
    """Run the command line. SIGTERM ends the process at once until `tts_operator.run` handles it: nothing has begun."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    return _run("tts-operator", "tts_operator.cli.main")


def kubectl_tts() -> int:
    """Run the plugin of kubectl."""
    return _run("kubectl tts", "tts_operator.cli.kubectl_tts")


def complete_kubectl_tts() -> int:
    """Print what kubectl offers in place of the last word of its command line."""
    return _run("kubectl_complete-tts", "tts_operator.cli.complete")


def _run(program: str, module: str) -> int:
    """Run the function `main` of the module. Returns 1 if a package that it imports is not installed."""
    try:
        status: int = importlib.import_module(module).main()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in OWN_PACKAGES:  # a mistake in this project, which no extra mends
            raise
        print(
            f"{program}: the Python package {package} is not installed; install the program with its extra: "
            "pip install 'ttsfleet[operator]'",
            file=sys.stderr,
        )
        return 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
