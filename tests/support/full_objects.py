"""Objects of each resource: every field that this version supports, every field that there is, and as much as fits."""

from tests.support.resources import Object, model_body, precision, tenant_body
from tts_operator.objects.keys import Key

KEY = Key("default", "acme")

FULL_MODEL = model_body(
    "espeak",
    engine="Espeak",
    image="registry.example/tts-server:1.0",
    imagePullSecrets=[{"name": "registry"}],
    languages=["en", "de", "zh"],
    voices=[{"name": "en-us", "languages": ["en"]}, {"name": "de"}, {"name": "cmn", "languages": ["zh"]}],
    sampleRateHz=22050,
    precisions=[
        {
            "name": "fp32",
            "requestsPerSecond": 28,
            "quality": "6.5",
            "hourlyCost": "0.04",
            "resources": {
                "requests": {"cpu": "100m", "memory": "128Mi"},
                "limits": {"cpu": 1, "memory": "256Mi"},
            },
        },
        {"name": "int8", "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}}},
    ],
    batching={"maxSize": 8, "maxWaitMilliseconds": 50},
    pauses={
        "sentenceMilliseconds": 300,
        "clauseMilliseconds": 160,
        "lineMilliseconds": 300,
        "paragraphMilliseconds": 540,
    },
    normalizedLanguages=["en", "zh"],
    threads=1,
    memoryLimit="96Mi",
    firstAudioTimeoutSeconds=3,
    loadSeconds=1,
    allowedNamespaces={"matchLabels": {"speech": "allowed"}},
    runtimeClassName="runc",
    priorityClassName="speech",
)

VOICE_FILES = {"model": "en.onnx", "voices": "voices.npz", "vocabulary": "vocab.json", "config": "en.json"}
SOURCES: dict[str, Object] = {
    "claim": {"persistentVolumeClaim": {"claimName": "voices", "path": "en", "revision": "2026-11-30"}},
    "image": {"image": {"reference": "registry.example/voices:1", "pullPolicy": "Always"}},
    "store": {
        "s3": {
            "endpoint": "https://s3.example",
            "region": "eu-central-1",
            "bucket": "voices",
            "prefix": "en",
            "pathStyle": True,
            "files": [{"path": path, "sha256": "0" * 64} for path in VOICE_FILES.values()],
            "secretRef": {"name": "voices-reader"},
            "sizeLimit": "1Gi",
        }
    },
}
FULL_VOICES = [
    model_body(
        name,
        engine="Onnx",
        source=source,
        onnx={"family": "Piper", "files": VOICE_FILES},
        precisions=[{**precision("int8"), "files": VOICE_FILES}],
        voices=[{"name": "joe"}, {"name": "joe-legal", "adapter": "legal", "baseVoice": "joe"}],
        adapters=[{"name": "legal", "source": source, "path": VOICE_FILES["voices"], "memory": "8Mi"}],
    )
    for name, source in SOURCES.items()
]
FULL_VOICES += [
    model_body(
        "cosyvoice",
        engine="CosyVoice",
        source=SOURCES["image"],
        cosyVoice={
            "modelPath": "CosyVoice2-0.5B",
            "codePath": "CosyVoice",
            "loadJit": True,
            "loadTrt": True,
            "stream": False,
            "prompts": [{"voice": "anna", "wav": "voices/anna.wav", "text": "Hello.", "instruction": "Speak softly."}],
        },
    ),
    model_body(
        "indextts",
        engine="IndexTTS",
        source=SOURCES["claim"],
        indexTTS={
            "modelPath": "IndexTTS-2",
            "codePath": "index-tts",
            "prompts": [
                {"voice": "anna", "wav": "anna.wav", "emotionWav": "sad.wav", "emotionWeightPercent": 60},
                {"voice": "ben", "wav": "ben.wav", "emotionPercent": [10, 0, 0, 0, 0, 0, 0, 50]},
            ],
        },
    ),
]
"""Neural voices: every field of their engines, and each kind of source that has fields."""

SCALING_RULES: Object = {
    "stabilizationWindowSeconds": 60,
    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
    "selectPolicy": "Min",
}
FULL_TENANT = tenant_body(
    {"name": "espeak", "precision": "fp32", "allowedPrecisions": ["fp32", "int8"], "aliases": ["tts-1"]},
    {"name": "espeak-de", "minReplicas": 1, "maxReplicas": 2},
    key=KEY,
    tier="VIP",
    isolation="Dedicated",
    scenario="CustomerService",
    voiceAliases={"alloy": "en-us"},
    languageRouting=[{"language": "zh", "voice": "cmn"}, {"language": "default", "voice": "en-us"}],
    schedule={
        "timeZone": "Asia/Shanghai",
        "default": {"minReplicas": 3, "maxReplicas": 6},
        "windows": [
            {"name": "night", "start": "22:00", "end": "06:00", "minReplicas": 1, "maxReplicas": 2},
            {"name": "weekend", "days": ["Sat", "Sun"], "minReplicas": 2, "maxReplicas": 4},
        ],
        "exceptions": [
            {"name": "singles-day", "from": "2026-11-11", "to": "2026-11-12", "minReplicas": 6, "maxReplicas": 20},
            {
                "name": "eve",
                "from": "2026-12-24",
                "to": "2026-12-24",
                "start": "08:00",
                "end": "24:00",
                "minReplicas": 4,
            },
        ],
        "override": {"until": "2026-11-30T18:00:00Z", "minReplicas": 6, "maxReplicas": 20},
    },
    autoscaling={
        "provider": "HPA",
        "metrics": [{"type": "CPU", "averageUtilization": 70}],
        "behavior": {"scaleUp": SCALING_RULES, "scaleDown": SCALING_RULES},
    },
    rollout={"strategy": "Auto"},
    quota={"requestsPerMinute": 100, "maxTextCharacters": 4096},
    auth={"modes": ["APIKey"], "apiKeysSecretRef": {"name": "acme-keys"}},
    storage={"linkSeconds": 3600, "retentionSeconds": 604800},
    redis={"secretRef": {"name": "acme-redis"}},
    cors={"allowedOrigins": ["https://app.example", "http://localhost:3000"], "maxAgeSeconds": 3600},
    publicURL="https://speech.example/acme",
    allowExternal=True,
    preventDeletion=False,
    suspend=False,
)

PRESET = {"timeZone": "Asia/Shanghai", "preset": "DayNightWeekend"}

DESIGN_MODEL = model_body(
    "cosyvoice-300m-sft",
    engine="CosyVoice",
    image="registry.example/tts-server-cosyvoice:1.0",
    source={"persistentVolumeClaim": {"claimName": "models"}},
    cosyVoice={
        "modelPath": "CosyVoice-300M-SFT",
        "codePath": "CosyVoice",
        "prompts": [{"voice": "clone", "wav": "voices/clone.wav", "text": "Words of the recording."}],
    },
    languages=["zh", "en", "ja", "ko", "yue"],
    voices=[
        {"name": "中文女", "languages": ["zh"]},
        {"name": "英文女", "languages": ["en"], "adapter": "legal"},
    ],
    adapters=[{"name": "legal", "source": {"image": {"reference": "registry.example/legal:1"}}}],
    sampleRateHz=22050,
    precisions=[
        {
            "name": "fp16",
            "requestsPerSecond": 28,
            "quality": "9.5",
            "hourlyCost": "1.20",
            "resources": {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}},
        },
        {
            "name": "fp32",
            "requestsPerSecond": 14,
            "quality": "9.5",
            "hourlyCost": "0.80",
            "resources": {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": 1, "memory": "2Gi"}},
        },
    ],
    accelerator={
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "deviceClassName": "gpu.nvidia.com",
    },
    batching={"maxSize": 8, "maxWaitMilliseconds": 50},
    threads=1,
    memoryLimit="3500Mi",
    firstAudioTimeoutSeconds=3,
    fallback={"modelRef": {"name": "espeak"}, "voices": [{"language": "zh", "voice": "cmn"}]},
    loadSeconds=40,
    pool={
        "precision": "fp16",
        "schedule": PRESET,
        "autoscaling": {"provider": "KEDA", "metrics": [{"type": "InFlight", "averageValue": "4"}]},
    },
    allowedNamespaces={"matchLabels": {"speech": "allowed"}},
)

DESIGN_TENANT: Object = {
    **FULL_TENANT,
    "spec": {
        **FULL_TENANT["spec"],
        "schedule": {
            **FULL_TENANT["spec"]["schedule"],
            "preWarmSeconds": 120,
            "wakeOnRequest": True,
            "maxWaitSeconds": 90,
            "wakeSeconds": 1800,
        },
        "autoscaling": {"provider": "KEDA", "metrics": [{"type": "QueueDepth", "averageValue": 4}]},
        "quota": {
            "requestsPerMinute": 100,
            "requestsPerDay": 50_000,
            "concurrentRequests": 20,
            "audioSecondsPerDay": 36_000,
            "charactersPerDay": 2_000_000,
            "maxTextCharacters": 4096,
            "perClientRequestsPerMinute": 10,
        },
        "auth": {
            "modes": ["APIKey", "JWT"],
            "apiKeysSecretRef": {"name": "acme-keys"},
            "external": {"jwksURL": "https://id.example/jwks.json", "issuer": "https://id.example", "audience": "tts"},
        },
        "storage": {
            "s3": {
                "endpoint": "https://s3.internal.example",
                "region": "eu-central-1",
                "bucket": "speech",
                "prefix": "acme/",
                "publicEndpoint": "https://s3.example",
                "pathStyle": True,
                "secretRef": {"name": "acme-s3"},
            },
            "linkSeconds": 3600,
            "retentionSeconds": 604_800,
        },
        "redis": {"secretRef": {"name": "acme-redis"}},
        "cache": {"enabled": True, "ttlSeconds": 86_400},
        "exposure": {"gateway": {"name": "public", "namespace": "gateways"}, "hostname": "acme.speech.example"},
        "allowExternal": True,
        "preventDeletion": True,
    },
}

LANGUAGES = [f"{first}{second}" for first in "abcdefgh" for second in "abcdefghijklmnop"]
"""As many as a model may speak."""

STORE_OF_64: Object = {
    "s3": {
        "endpoint": "https://s3.example",
        "bucket": "voices",
        "files": [{"path": f"{number:a>64}", "sha256": "0" * 64} for number in range(64)],
        "secretRef": {"name": "voices-reader"},
    }
}
LARGEST_MODEL: Object = {
    **FULL_MODEL,
    "spec": {
        **FULL_MODEL["spec"],
        "engine": "Onnx",
        "source": STORE_OF_64,
        "onnx": {"family": "Hibari", "files": {"model": f"{63:a>64}"}},
        "languages": LANGUAGES,
        "voices": [
            {
                "name": f"{number:->128}",
                "languages": LANGUAGES[-16:],
                "adapter": f"{number % 32:a>63}",
                "baseVoice": f"{number:+>128}",
            }
            for number in range(256)
        ],
        "adapters": [
            {"name": f"{number:a>63}", "source": STORE_OF_64, "path": f"{63:a>64}", "memory": "1Gi"}
            for number in range(32)
        ],
    },
}

LARGEST_TENANT: Object = {
    **FULL_TENANT,
    "spec": {
        **FULL_TENANT["spec"],
        "models": [
            {"name": f"{entry:m>52}", "aliases": [f"{entry}-{alias:a>60}" for alias in range(16)]}
            for entry in range(16)
        ],
        "voiceAliases": {f"{number:a>64}": f"{number:v>128}" for number in range(64)},
        "cors": {"allowedOrigins": [f"https://{number:o>247}" for number in range(64)]},
        "languageRouting": [
            *({"language": language, "voice": "v"} for language in LANGUAGES[:63]),
            {"language": "default", "voice": "v"},
        ],
        "schedule": {
            "default": {"minReplicas": 1000},
            "windows": [
                {"name": f"{number:w>63}", "start": "22:00", "end": "24:00", "minReplicas": 1} for number in range(16)
            ],
            "exceptions": [
                {"name": f"{number:e>63}", "from": "2026-11-11", "to": "2026-11-12", "minReplicas": 1}
                for number in range(64)
            ],
        },
    },
}
