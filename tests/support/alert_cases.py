"""For every alert of the chart: series for which it fires, with what it says, and series for which it does not.

Series are written as promtool reads them: `0+6x60` begins at 0 and grows by 6 each minute for 60 minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

POD = 'namespace="team-acme",pod="a"'
ACME = f'tenant="team-acme.acme",{POD}'
MEMBER = 'tenant="team-acme.acme",namespace="team-acme",pod="m"'
"""A pod of another pool, which speaks segments for the entry pool."""
POOLS = {f"tts_entry_pool{{{POD}}}": "1x400", 'tts_entry_pool{namespace="team-acme",pod="m"}': "0x400"}
LEADS = {'tts_operator_leading{pod="a"}': "1x400", 'tts_operator_leading{pod="b"}': "0x400"}
FIRST_AUDIO = "tts_first_audio_seconds"


@dataclass(frozen=True)
class AlertCase:
    fires: Mapping[str, str]
    """Series -> values a minute apart, for which the alert fires at `minute`."""
    summary: str
    quiet: Mapping[str, str]
    """Series for which it does not fire, near the threshold or where nothing is measured."""
    labels: Mapping[str, str] = field(default_factory=dict)
    minute: int = 60
    description: str = ""
    """The description, if it has a value in it; else that of the rule."""


def requests(failed: float, answered: float = 1000.0) -> dict[str, str]:
    """Series of a tenant whose requests grow by so many a minute."""
    return POOLS | {
        f'tts_requests_total{{{ACME},status_code="200"}}': f"0+{answered - failed}x400",
        f'tts_requests_total{{{ACME},status_code="503"}}': f"0+{failed}x400",
    }


def first_audio(within_2: float, within_3: float, requests: float = 100.0) -> dict[str, str]:
    """Series of a tenant of whose requests so many a minute hear something within 2 and 3 s."""
    buckets = {"1.0": 0.0, "2.0": within_2, "3.0": within_3, "5.0": requests, "+Inf": requests}
    series = {f'{FIRST_AUDIO}_bucket{{{ACME},le="{bound}"}}': f"0+{count}x400" for bound, count in buckets.items()}
    return {**POOLS, **series, f"{FIRST_AUDIO}_count{{{ACME}}}": f"0+{requests}x400"}


TENANT = {"tenant": "team-acme.acme"}
NAMESPACE = {"namespace": "team-acme"}
ALERTS: dict[str, AlertCase] = {
    "TTSErrorsHigh": AlertCase(
        fires=requests(failed=20),
        summary="2% of the requests of team-acme.acme fail",
        labels=TENANT,
        minute=15,
        # A client that hangs up, or sends too much, is no failure of the server.
        # A segment that another pool could not speak is none either: a fallback spoke it.
        quiet={
            **requests(failed=5),
            f'tts_requests_total{{{ACME},status_code="429"}}': "0+900x400",
            f'tts_requests_total{{{MEMBER},status_code="504"}}': "0+900x400",
        },
    ),
    "TTSLatencyHigh": AlertCase(
        fires=first_audio(within_2=90, within_3=98),
        summary="The slowest 1 % of team-acme.acme wait longer than 4s for audio",
        labels=TENANT,
        minute=20,
        quiet=first_audio(within_2=99.5, within_3=100)
        | {
            f'{FIRST_AUDIO}_bucket{{{MEMBER},le="2.0"}}': "0x400",
            f'{FIRST_AUDIO}_bucket{{{MEMBER},le="+Inf"}}': "0+100x400",
        },
    ),
    "TTSErrorBudgetBurnsFast": AlertCase(
        fires=requests(failed=80),
        summary="team-acme.acme spends its monthly error budget within two days",
        description="Target: 99.5 % of requests succeed. Of the last hour's, 8% failed.",
        labels=TENANT,
        # A failure that is over no longer fires: the last 5 minutes are well.
        quiet={
            **POOLS,
            f'tts_requests_total{{{ACME},status_code="200"}}': "0+900x53 47700+1000x20",
            f'tts_requests_total{{{ACME},status_code="503"}}': "0+100x53 5300+0x20",
        },
    ),
    "TTSErrorBudgetBurns": AlertCase(
        fires=requests(failed=40),
        summary="team-acme.acme spends its monthly error budget within five days",
        description="Target: 99.5 % of requests succeed. Of the last 6 hours', 4% failed.",
        labels=TENANT,
        minute=390,
        quiet=requests(failed=20),
    ),
    "TTSFirstAudioBudgetBurnsFast": AlertCase(
        fires=first_audio(within_2=50, within_3=60),
        summary="40% of the requests of team-acme.acme get audio after 3 s",
        labels=TENANT,
        quiet=first_audio(within_2=75, within_3=75),
    ),
    "TTSFirstAudioBudgetBurns": AlertCase(
        fires=first_audio(within_2=50, within_3=85),
        summary="15% of the requests of team-acme.acme get audio after 3 s",
        labels=TENANT,
        minute=390,
        quiet=first_audio(within_2=50, within_3=95),
    ),
    "TTSFallbackSpeaks": AlertCase(
        fires={
            'tts_fallbacks_total{namespace="team-acme",model="kokoro",reason="engine_timeout"}': "0+10x60",
            **POOLS,
            f'tts_requests_total{{{ACME},model="kokoro",status_code="200"}}': "0+100x60",
        },
        summary="Fallbacks speak for kokoro in team-acme",
        description="10% of the namespace's requests were spoken by another model.",
        labels={**NAMESPACE, "model": "kokoro"},
        quiet={
            'tts_fallbacks_total{namespace="team-acme",model="kokoro",reason="engine_timeout"}': "0+4x60",
            **POOLS,
            f'tts_requests_total{{{ACME},model="kokoro",status_code="200"}}': "0+100x60",
        },
    ),
    "TTSRepliesCut": AlertCase(
        fires={**requests(failed=0), f'tts_replies_cut_total{{{ACME},reason="engine_failed"}}': "0+20x60"},
        summary="2% of the replies to team-acme.acme end too early",
        labels=TENANT,
        quiet={**requests(failed=0), f'tts_replies_cut_total{{{ACME},reason="hung_up"}}': "0+500x60"},
    ),
    "TTSQuotaNearlyUsed": AlertCase(
        fires={
            f'tts_quota_remaining{{{ACME},quota="charactersPerDay"}}': "90x60",
            f'tts_quota_remaining{{{MEMBER},quota="charactersPerDay"}}': "80x60",
            f'tts_quota_limit{{{ACME},quota="charactersPerDay"}}': "1000x60",
        },
        summary="team-acme.acme has 90 of charactersPerDay left",
        labels={**TENANT, "quota": "charactersPerDay"},
        # Of a minute's limit little is left every minute.
        quiet={
            f'tts_quota_remaining{{{ACME},quota="requestsPerMinute"}}': "0x60",
            f'tts_quota_limit{{{ACME},quota="requestsPerMinute"}}': "10x60",
            f'tts_quota_remaining{{{ACME},quota="requestsPerDay"}}': "101x60",
            f'tts_quota_limit{{{ACME},quota="requestsPerDay"}}': "1000x60",
        },
    ),
    "TTSQuotaStoreDown": AlertCase(
        fires={f"tts_quota_store_up{{{ACME}}}": "0x60", f"tts_quota_store_up{{{MEMBER}}}": "1x60"},
        summary="Replicas of team-acme.acme count their limits alone",
        labels=TENANT,
        quiet={f"tts_quota_store_up{{{ACME}}}": "1x56 0x4"},
    ),
    "TTSEngineRestarts": AlertCase(
        fires={'tts_engine_restarts_total{namespace="team-acme",model="kokoro",reason="memory"}': "0+1x60"},
        summary="Engine processes of kokoro in team-acme restart: memory",
        description="15 restarts in 15 minutes.",
        labels={**NAMESPACE, "model": "kokoro", "reason": "memory"},
        quiet={'tts_engine_restarts_total{namespace="team-acme",model="kokoro",reason="memory"}': "0x50 1x10"},
    ),
    "TTSConfigurationRefused": AlertCase(
        fires={
            'tts_config_loads_total{namespace="team-acme",pod="a",file="server",outcome="refused"}': "0x50 1x10",
        },
        summary="team-acme/a refuses server",
        labels={**NAMESPACE, "pod": "a", "file": "server"},
        quiet={'tts_config_loads_total{namespace="team-acme",pod="a",file="server",outcome="taken"}': "0+1x60"},
    ),
    "TTSGPUBusy": AlertCase(
        fires={'DCGM_FI_DEV_GPU_UTIL{namespace="team-acme",pod="a",container="tts-server",gpu="0"}': "95x60"},
        summary="GPU 0 of team-acme/a is 95 % busy",
        labels={**NAMESPACE, "pod": "a", "gpu": "0"},
        quiet={
            'DCGM_FI_DEV_GPU_UTIL{namespace="team-acme",pod="a",container="tts-server",gpu="0"}': "90x60",
            'DCGM_FI_DEV_GPU_UTIL{namespace="training",pod="a",container="trainer",gpu="1"}': "100x60",
        },
    ),
    "TTSOperatorNotLeading": AlertCase(
        fires={'tts_operator_leading{pod="a"}': "0x60"},
        summary="No operator leads",
        quiet={'tts_operator_leading{pod="a"}': "0x60", 'tts_operator_leading{pod="b"}': "1x60"},
    ),
    "TTSOperatorBlind": AlertCase(
        fires={'tts_operator_last_repair_timestamp_seconds{pod="a"}': "60x60"},
        summary="The operator does not see the cluster",
        # A standby lists nothing; the leader does, every 10 minutes.
        quiet={
            'tts_operator_last_repair_timestamp_seconds{pod="a"}': "0x60",
            'tts_operator_last_repair_timestamp_seconds{pod="b"}': "0x19 1200x19 2400x22",
            'tts_operator_watch_restarts_total{pod="b"}': "0x50 3x10",
        },
    ),
    "TTSScheduleLate": AlertCase(
        fires={
            'tts_operator_schedule_lag_seconds_bucket{le="10.0"}': "0+1x60",
            'tts_operator_schedule_lag_seconds_bucket{le="30.0"}': "0+10x60",
            'tts_operator_schedule_lag_seconds_bucket{le="+Inf"}': "0+10x60",
        },
        summary="Schedules are applied 28.89s late",
        quiet={
            'tts_operator_schedule_lag_seconds_bucket{le="10.0"}': "0+10x60",
            'tts_operator_schedule_lag_seconds_bucket{le="30.0"}': "0+10x60",
            'tts_operator_schedule_lag_seconds_bucket{le="+Inf"}': "0+10x60",
        },
    ),
    "TTSOperatorQueueOld": AlertCase(
        fires={'tts_operator_queue_oldest_seconds{pod="a"}': "0x50 90x10"},
        summary="A change has waited 1m 30s for the operator",
        quiet={'tts_operator_queue_oldest_seconds{pod="a"}': "0x58 90x2"},
    ),
    "TTSReconcilesFail": AlertCase(
        fires={
            'tts_operator_reconciles_total{kind="TTSTenant",result="success"}': "0+80x60",
            'tts_operator_reconciles_total{kind="TTSTenant",result="error"}': "0+20x60",
        },
        summary="20% of the reconciles of TTSTenant fail",
        labels={"kind": "TTSTenant"},
        quiet={
            'tts_operator_reconciles_total{kind="TTSTenant",result="success"}': "0+95x60",
            'tts_operator_reconciles_total{kind="TTSTenant",result="error"}': "0+5x60",
        },
    ),
    "TTSTenantsNotReady": AlertCase(
        fires={**LEADS, 'tts_operator_tenants{pod="a",type="Ready",status="False"}': "2x60"},
        summary="2 tenants are not ready",
        quiet={
            **LEADS,
            'tts_operator_tenants{pod="b",type="Ready",status="False"}': "4x60",
            'tts_operator_tenants{pod="a",type="Ready",status="True"}': "9x60",
            'tts_operator_tenants{pod="a",type="Suspended",status="True"}': "2x60",
            'tts_operator_tenants{pod="a",type="Ready",status="False"}': "2x40 0x5 1x14",
        },
    ),
    "TTSRolloutHalted": AlertCase(
        fires={
            **LEADS,
            'tts_operator_tenants_waiting{pod="a"}': "7x60",
            'tts_operator_tenants_waiting{pod="b"}': "0x60",
        },
        summary="7 tenants wait for a rollout that does not move",
        minute=61,
        quiet={
            **LEADS,
            'tts_operator_tenants_waiting{pod="a"}': "60-1x58",
            'tts_operator_tenants_waiting{pod="b"}': "5x60",
        },
    ),
    "TTSNamespacesSkipped": AlertCase(
        fires={'tts_operator_namespaces_skipped{pod="a"}': "1x60"},
        summary="The operator may not read 1 of its namespaces",
        quiet={'tts_operator_namespaces_skipped{pod="a"}': "0x55 1x5"},
    ),
    "TTSWakerRefuses": AlertCase(
        fires={'tts_waker_requests_total{result="starting"}': "0+6x60"},
        summary="The waker answers starting",
        description="Requests to tenants at zero replicas fail: 100m each second.",
        labels={"result": "starting"},
        quiet={
            'tts_waker_requests_total{result="passed"}': "0+600x60",
            'tts_waker_requests_total{result="scaled_to_zero"}': "0+600x60",
        },
    ),
    "TTSCostAboveBudget": AlertCase(
        fires={
            **LEADS,
            'tts_operator_hourly_cost{namespace="team-acme",pod="a"}': "8x120",
            'tts_operator_hourly_cost{namespace="team-blue",pod="a"}': "5x120",
            "ttsfleet:hourly_budget": "12.5x120",
        },
        summary="The fleet costs 13 an hour, which is above the budget",
        minute=120,
        # A replica that led before keeps what it counted then.
        quiet={
            **LEADS,
            'tts_operator_hourly_cost{namespace="team-acme",pod="a"}': "8x120",
            'tts_operator_hourly_cost{namespace="team-acme",pod="b"}': "8x120",
            "ttsfleet:hourly_budget": "12.5x120",
        },
    ),
}
