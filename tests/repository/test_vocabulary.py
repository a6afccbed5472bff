"""The product is written in the words of its field: names of its former private language do not come back."""

from __future__ import annotations

import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"operator": ROOT / "operator" / "tts_operator", "server": ROOT / "inference_server" / "tts_server"}

PRIVATE = {
    "operator": {
        "AT_ONCE": "MAX_CONCURRENT_TENANTS",
        "Facts": "PolicyInput",
        "Freshness": "WatchHealth",
        "Hold": "MissingMetrics",
        "Mover": "ScalingExecutor",
        "OperatorStores": "StoreAccess",
        "Pace": "ControllerOptions",
        "Patience": "RequestTimeouts",
        "SETTLE": "PROPAGATION_DELAY",
        "SecretVersions": "SecretPoller",
        "SeenStores": "StoreCredentials",
        "Sink": "EventSink",
        "StoreRefuses": "RedisRejected",
        "StoreTrouble": "RedisAclError",
        "Trouble": "PodFailure",
        "Turnover": "Cutover",
        "Upcoming": "Requeue",
        "Verdict": "Problem",
        "asked_for": "requested_pools",
        "audio_unkept": "audio_not_stored",
        "deaf": "rejects_callers",
        "in_turn": "throttled",
        "keepsakes": "retained_pools",
        "lingering": "draining_pools",
        "look_again": "requeue_at",
        "obstacle": "blocked_reason",
        "strange_issuer": "disallowed_issuer",
        "sure_of": "is_settled",
        "told_at": "config_written_at",
        "told_before": "current_model_config",
        "understood": "parse_redis_secret",
    },
    "server": {
        "Alone": "a coalescer with one subscriber",
        "Book": "LedgerKey",
        "Cast": "SynthesisPlan",
        "Conversation": "RequestContext",
        "Conversations": "RequestContextMiddleware",
        "CutOff": "ResponseAborted",
        "EngineGarbage": "InvalidAudio",
        "EngineProcess": "WorkerClient",
        "Flight": "CoalescedStream",
        "Flights": "Coalescer",
        "FramePipe": "FrameReader",
        "Gathering": "PendingBatch",
        "HungUp": "ClientDisconnected",
        "Intake": "ArrivalThrottle",
        "Kept": "CachedAudio",
        "LetIn": "UnsyncedRequest",
        "Making": "EncodedStream",
        "Pace": "ThroughputEstimator",
        "PoolSpeaker": "RemoteEngineClient",
        "ProcessPool": "WorkerPool",
        "QUIET": "UNLOGGED_PATHS",
        "Recording": "CachedReply",
        "Scene": "ServingSnapshot",
        "Seat": "Assignment",
        "Seating": "Dispatcher",
        "SharedMemory": "LastKnownCounts",
        "SharedSound": "SharedBuffer",
        "Sharing": "BatchPolicy",
        "SoundCheck": "OutputCheck",
        "SoundRoom": "SharedBufferWriter",
        "Speaker": "EngineClient",
        "Speaking": "SampleStream",
        "Standby": "FallbackModel",
        "Ticket": "AdmittedRequest",
        "Trust": "TlsTrustStore",
        "Turn": "SchedulingParams",
        "Wanted": "QueuedUtterance",
        "Wish": "VoiceSelector",
        "ask_ahead": "enqueue_next",
        "doubt": "mark_unreachable",
        "go_on": "start_next",
        "hurry": "promote",
        "leave_ahead": "cancel_next",
        "may_quote": "stderr_may_contain_text",
        "note_left": "set_remaining",
        "scene": "snapshot",
        "standbys": "fallbacks",
        "take_back": "undo",
        "talk": "context",
        "telling": "sending_next",
    },
}
"""For each package a name that is not to be used, and what the field calls the thing.

Words that have an honest use as well, such as `Failure`, `Listener` or `ended`, are left out.
"""


@pytest.mark.parametrize("package", PACKAGES)
def test_no_identifier_is_of_the_private_language(package: str) -> None:
    offenders = []
    for file in sorted(PACKAGES[package].rglob("*.py")):
        with file.open("rb") as source:
            for token in tokenize.tokenize(source.readline):
                name = token.string.lstrip("_")
                if token.type == tokenize.NAME and name in PRIVATE[package]:
                    where = f"{file.relative_to(ROOT)}:{token.start[0]}"
                    offenders.append(f"{where}: {token.string} is called {PRIVATE[package][name]}")
    assert offenders == []
