"""Three replicas, whose clocks disagree, want more than there is: together they get exactly what there is."""

import subprocess
import sys

from tests.support.redis_server import counter_store


def test_three_replicas_admit_exactly_the_limit_whatever_their_clocks_say() -> None:
    with counter_store() as store:
        replicas = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.support.racing_replica", store.url, str(error_seconds), "400"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
            for error_seconds in (-5, 0, 5)
        ]  # fmt: skip
        try:
            for replica in replicas:
                assert replica.stdout is not None
                assert replica.stdout.readline() == "ready\n"
            for replica in replicas:
                assert replica.stdin is not None
                replica.stdin.write("go\n")
                replica.stdin.flush()
            said = [replica.communicate(timeout=60)[0].split() for replica in replicas]
        finally:
            for replica in replicas:
                replica.kill()
                replica.wait()
        admitted = [int(one[0]) for one in said]
        assert sum(admitted) == 600
        assert min(admitted) > 0, "they did race"
        assert [one[1] for one in said] == ["0"] * 3
        assert store.run("ZCARD", "tts:{acme}:quota:minute") == 600
        day = store.run("HGETALL", "tts:{acme}:quota:day")
        assert (day["requests"], day["characters"], day["audio"]) == ("600", "6000", "1800000000")
