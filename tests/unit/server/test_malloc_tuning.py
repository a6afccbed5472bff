"""One heap for all threads, of which the free part is kept for a while: glibc and the kernel tell."""

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
KEPT_AND_LEFT = """
import ctypes, os
from tts_server.malloc_tuning import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before = resident()
blocks = [libc.malloc(100_000) for _ in range(120)]
for block in blocks: ctypes.memset(block, 1, 100_000)
for block in blocks: libc.free(ctypes.c_void_p(block))
kept = resident() - before
give_back_freed_memory()
print(kept, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep their heaps as they like")
def test_threads_share_one_heap() -> None:
    assert heaps("shared") == 1
    assert heaps("as they are") > 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep free memory as they like")
def test_what_is_kept_for_the_next_request_is_given_back_after_a_while() -> None:
    told = subprocess.run([sys.executable, "-c", KEPT_AND_LEFT], capture_output=True, check=True, text=True).stdout
    kept, left = map(int, told.split())
    assert kept > 10_000_000, "or the kernel would clear pages for every sentence"
    assert left < 3_000_000


def heaps(how: str) -> int:
    told = subprocess.run([sys.executable, "-c", HEAPS_AFTER_THREADS, how], capture_output=True, check=True).stdout
    return told.count(b"<heap nr=")
