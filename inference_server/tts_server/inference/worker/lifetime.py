"""Ties a worker to its parent: it ends with the parent, and with it all processes that its engine has started."""

import ctypes
import os
import signal
import sys
from typing import NoReturn

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have Linux kill this process when its parent dies, even while an engine holds the interpreter's lock."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the parent to handle
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def exit_worker() -> NoReturn:
    """End the process at once, with the processes that the engine has started."""
    # Not sys.exit: the main thread may be deep inside an engine, and its result is not needed any more.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)
