"""One heap for all threads: glibc itself tells how many there are."""

import platform
import subprocess
import sys

import pytest

HEAPS_AFTER_THREADS = """
import ctypes, os, sys, threading
from tts_server.malloc_tuning import share_one_heap
if sys.argv[1] == "shared":
    share_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
met = threading.Barrier(4)
def need_memory():
    libc.malloc(100_000)
    met.wait()  # else one thread's heap would be the next one's
threads = [threading.Thread(target=need_memory) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep their heaps as they like")
def test_threads_share_one_heap() -> None:
    assert heaps("shared") == 1
    assert heaps("as they are") > 1


def heaps(how: str) -> int:
    told = subprocess.run([sys.executable, "-c", HEAPS_AFTER_THREADS, how], capture_output=True, check=True).stdout
    return told.count(b"<heap nr=")
