"""Objects that the rules of the resources are about: what holds, and what breaks one, with what a person is told."""

from copy import deepcopy
from typing import Any

from tests.support.resources import Object, calendar_body, model_body, tenant_body
from tts_operator.objects.keys import Key

RESOURCES: Object = {"requests": {"cpu": "100m", "memory": "128Mi"}}
MODEL = model_body(languages=["en"], voices=[{"name": "en-us"}], precisions=[{"name": "fp32", "resources": RESOURCES}])
TENANT = tenant_body(key=Key("default", "acme"))
CALENDAR = calendar_body(
    "de-2026",
    {"name": "Labour Day", "from": "2026-05-01"},
    {"name": "Christmas", "from": "2026-12-25", "to": "2026-12-26"},
)
DAY = {"minReplicas": 3, "maxReplicas": 6}
S3 = {"endpoint": "https://s3.example", "bucket": "speech", "secretRef": {"name": "s3"}}
S3_FILE = {"path": "model.onnx", "sha256": "0" * 64}
S3_SOURCE = {"endpoint": "https://s3.example", "bucket": "models", "files": [S3_FILE], "secretRef": {"name": "s"}}
CLAIM = {"persistentVolumeClaim": {"claimName": "voices"}}
CALM = {"name": "heart-calm", "adapter": "calm", "baseVoice": "heart"}
HIBARI = {"family": "Hibari", "files": {"model": "model.onnx"}}
PIPER = {"family": "Piper", "files": {"model": "joe.onnx", "config": "joe.onnx.json"}}

COSYVOICE: Object = {
    "engine": "CosyVoice",
    "source": {"persistentVolumeClaim": {"claimName": "models"}},
    "cosyVoice": {"modelPath": "pretrained_models/CosyVoice-300M-SFT", "codePath": "CosyVoice"},
}
INDEX_TTS: Object = {
    "engine": "IndexTTS",
    "source": {"image": {"reference": "weights:1"}},
    "indexTTS": {"prompts": [{"voice": "anna", "wav": "voices/anna.wav"}]},
}


def changed(base: Object, changes: Object) -> Object:
    """``base`` with each dotted path set; None removes it."""
    result = deepcopy(base)
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is None:
            del node[last]
        else:
            node[last] = value
    return result


def tenant(**spec: Any) -> Object:
    return changed(TENANT, {f"spec.{name}": value for name, value in spec.items()})


def model(**spec: Any) -> Object:
    return changed(MODEL, {f"spec.{name}": value for name, value in spec.items()})


def adapted(**spec: Any) -> Object:
    """A model with a voice of an adapter, whose file is on the model's claim."""
    adapters = [{"name": "calm", "path": "calm.npz"}]
    return model(**{"engine": "Onnx", "source": CLAIM, "onnx": HIBARI, "voices": [CALM], "adapters": adapters, **spec})


def scheduled(**schedule: Any) -> Object:
    return tenant(schedule={"default": DAY, **schedule})


def window(**fields: Any) -> Object:
    return scheduled(windows=[{"name": "night", "minReplicas": 1, **fields}])


def named(base: Object, name: str) -> Object:
    return changed(base, {"metadata.name": name})


SIDECAR: Object = {"image": "kokoro:1", "port": 8880, "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}
ZONES_WITHOUT_A_SLASH = ("GMT", "Singapore", "EST5EDT", "W-SU", "NZ-CHAT", "GMT+0", "PRC", "Etc/GMT+12")
NIGHT = {"start": "00:00", "end": "06:00"}
ACCEPTED: dict[str, Object] = {
    "the smallest model": MODEL,
    "a model's name of 52 characters": named(MODEL, "m" * 52),
    "a model's name may begin with a digit": named(MODEL, "300m-sft"),
    "whole numbers as quantities": model(
        precisions=[{"name": "fp16", "resources": {"limits": {"cpu": 1, "memory": "4Gi", "nvidia.com/gpu": 1}}}]
    ),
    "cpu in requests and memory in limits": model(
        precisions=[{"name": "fp32", "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}}]
    ),
    "a voice of the image": model(engine="Onnx", source={"builtIn": "heart"}, onnx={"family": "Hibari"}),
    "another voice of the image": model(engine="Onnx", source={"builtIn": "kokoro"}, onnx={"family": "Kokoro"}),
    "a voice on a claim, with a revision": model(
        engine="Onnx",
        source={"persistentVolumeClaim": {"claimName": "voices", "path": "en", "revision": "2026-11-30.2"}},
        onnx=PIPER,
    ),
    "a graph of its own at every precision": model(
        engine="Onnx",
        source=CLAIM,
        onnx={"family": "Kokoro", "files": {"voices": "voices.npz"}},
        precisions=[
            {"name": "fp32", "resources": RESOURCES, "files": {"model": "kokoro-fp32.onnx"}},
            {"name": "int8", "resources": RESOURCES, "files": {"model": "kokoro-int8.onnx"}},
        ],
    ),
    "a voice in an object store": model(engine="Onnx", source={"s3": S3_SOURCE}, onnx=HIBARI),
    "a voice in another region's store": model(
        engine="Onnx",
        source={
            "s3": {**S3_SOURCE, "region": "eu-central-1", "prefix": "voices/en", "pathStyle": True, "sizeLimit": "1Gi"}
        },
        onnx=HIBARI,
    ),
    "a voice in an image": model(
        engine="Onnx", source={"image": {"reference": "voices:1", "pullPolicy": "Always"}}, onnx=HIBARI
    ),
    "weights on a claim": model(**COSYVOICE),
    "weights in an image": model(**INDEX_TTS),
    "a recording in a folder whose name has two dots": model(
        **{**COSYVOICE, "cosyVoice": {"prompts": [{"voice": "a", "wav": "voices/..hidden/a.wav"}]}}
    ),
    "emotions of a recording": model(
        **{**INDEX_TTS, "indexTTS": {"prompts": [{"voice": "a", "wav": "a.wav", "emotionPercent": [10] * 8}]}}
    ),
    "a remote engine": model(engine="Remote", remote={"url": "https://speech.example"}),
    "a remote engine with every option": model(
        engine="Remote",
        remote={
            "url": "https://speech.example/tts",
            "protocol": "OpenAI",
            "pathPrefix": "",
            "model": "kokoro",
            "voices": {"en-us": "af_heart"},
            "responseFormat": "pcm",
            "speed": "Here",
            "maxConcurrentRequests": 8,
            "silenceTimeoutSeconds": 4,
            "retries": 0,
        },
    ),
    "a sidecar": model(engine="Sidecar", sidecar=SIDECAR),
    "a sidecar with every option": model(
        engine="Sidecar",
        sidecar={
            **SIDECAR,
            "command": ["/serve"],
            "args": ["--port", "8880"],
            "env": [{"name": "THREADS", "value": "2"}],
            "readinessPath": "/v1/models",
            "runAsUser": 1000,
            "writablePaths": ["/tmp"],
        },
    ),
    "a voice with an adapter of its own source": model(
        engine="Onnx",
        source={"builtIn": "heart"},
        onnx={"family": "Hibari"},
        voices=[{"name": "heart"}, CALM],
        adapters=[
            {"name": "calm", "source": {"image": {"reference": "calm:1"}}, "path": "calm.npz", "memory": "8Mi"},
            {"name": "unused", "source": CLAIM, "path": "unused.npz"},
        ],
    ),
    "a voice with an adapter beside the graph": model(
        engine="Onnx",
        source={"s3": {**S3_SOURCE, "files": [S3_FILE, {**S3_FILE, "path": "calm.npz"}]}},
        onnx=HIBARI,
        voices=[CALM],
        adapters=[{"name": "calm", "path": "calm.npz"}],
    ),
    "a speaker with an adapter": model(
        **COSYVOICE,
        voices=[{"name": "anna", "adapter": "legal"}],
        adapters=[{"name": "legal", "source": CLAIM}],
    ),
    "voices in any script": model(voices=[{"name": "中文女"}]),
    "a pool for shared tenants": model(pool={"precision": "fp32", "schedule": {"preset": "DayNightWeekend"}}),
    "prices as decimal strings": model(precisions=[{"name": "int8", "hourlyCost": "0.80", "resources": RESOURCES}]),
    "the smallest tenant": TENANT,
    "a tenant's name of 40 characters": named(TENANT, "t" * 40),
    "the preset": tenant(schedule={"preset": "DayNightWeekend", "timeZone": "Asia/Shanghai"}),
    "the preset with an exception": tenant(
        schedule={
            "preset": "DayNightWeekend",
            "exceptions": [{"name": "sale", "from": "2026-11-11", "to": "2026-11-12", **DAY}],
        }
    ),
    "a window across midnight": window(start="22:00", end="06:00"),
    "a window to the end of the day": window(start="18:00", end="24:00"),
    "a window of whole days": window(days=["Sat", "Sun"]),
    "maxReplicas left out": scheduled(default={"minReplicas": 3}),
    "both bounds zero": window(**NIGHT, minReplicas=0, maxReplicas=0),
    "a wake": scheduled(wakeOnRequest=True),
    "a wake with its times": scheduled(wakeOnRequest=True, maxWaitSeconds=600, wakeSeconds=600),
    "time zone UTC": scheduled(timeZone="UTC"),
    **{f"time zone {name}": scheduled(timeZone=name) for name in ZONES_WITHOUT_A_SLASH},
    "time zone of three parts": scheduled(timeZone="America/Argentina/Buenos_Aires"),
    "time zone with digits": scheduled(timeZone="Etc/GMT-8"),
    "an exception of some hours": scheduled(
        exceptions=[{"name": "x", "from": "2026-11-11", "to": "2026-11-12", "start": "20:00", "end": "24:00", **DAY}]
    ),
    "an override": scheduled(override={"until": "2026-11-30T18:00:00Z", "minReplicas": 6, "maxReplicas": 20}),
    "an override that ends in another zone": scheduled(override={"until": "2026-11-30T18:00:00.5+08:00", **DAY}),
    "an exception on the dates of a calendar": scheduled(
        exceptions=[{"name": "holidays", "calendarRef": {"name": "de-2026"}, "start": "08:00", "end": "20:00", **DAY}]
    ),
    "bounds by the clock for a model after the first": tenant(
        models=[{"name": "a"}, {"name": "b", "windows": [{"name": "night", "minReplicas": 1, "maxReplicas": 2}]}]
    ),
    "a calendar": CALENDAR,
    "a calendar without dates": calendar_body("empty"),
    "an exception of one day": scheduled(exceptions=[{"name": "x", "from": "2026-11-11", "to": "2026-11-11", **DAY}]),
    "a second model with bounds": tenant(models=[{"name": "a"}, {"name": "b", "minReplicas": 1, "maxReplicas": 2}]),
    "routing with a default": tenant(languageRouting=[{"language": "default", "voice": "en-us"}]),
    "no authentication without exposure": tenant(auth={"modes": ["None"]}),
    "tokens of another issuer": tenant(
        auth={
            "modes": ["APIKey", "JWT"],
            "external": {"jwksURL": "https://id.example/keys", "issuer": "id", "audience": "tts"},
        }
    ),
    "shared isolation": tenant(isolation="Shared"),
    "load by requests in flight": tenant(
        autoscaling={"provider": "KEDA", "metrics": [{"type": "InFlight", "averageValue": "4"}]}
    ),
    "storage in S3": tenant(storage={"s3": S3}),
    "aliases of two models": tenant(
        models=[{"name": "a", "aliases": ["tts-1"]}, {"name": "b", "aliases": ["tts-1-hd"]}]
    ),
    "aliases of voices in any script": tenant(voiceAliases={"alloy": "中文女", "女声": "zh"}),
    "tokens of the endpoint alone": tenant(auth={"modes": ["JWT"]}),
    "a gateway in a namespace that begins with a digit": tenant(
        exposure={"gateway": {"name": "g", "namespace": "1st"}, "hostname": "a.example"}
    ),
    "a gateway and no host name": tenant(exposure={"gateway": {"name": "g"}}),
    "an ingress controller with everything by default": tenant(exposure={"ingress": {}}),
    "a certificate of a Secret": tenant(
        exposure={"ingress": {"className": "nginx", "tls": {"secretRef": {"name": "tls"}}}}
    ),
    "a certificate of cert-manager": tenant(
        exposure={"ingress": {"tls": {"issuerRef": {"name": "letsencrypt", "kind": "ClusterIssuer"}}}}
    ),
    "a window that is named after a date": window(**NIGHT, name="618"),
    "a fallback": model(fallback={"modelRef": {"name": "piper"}, "voices": [{"language": "zh", "voice": "cmn"}]}),
    "a voice of some of the languages": model(languages=["en", "de"], voices=[{"name": "v", "languages": ["de"]}]),
    "a folder of a claim": model(
        engine="Onnx", source={"persistentVolumeClaim": {"claimName": "m", "path": "voices/..hidden/en"}}, onnx=HIBARI
    ),
    "requests up to their limits": model(
        precisions=[
            {
                "name": "fp32",
                "resources": {
                    "requests": {"cpu": "500m", "memory": "1024Mi"},
                    "limits": {"cpu": 1, "memory": "1Gi", "nvidia.com/gpu": 1},
                },
            }
        ]
    ),
    "resources of other domains": model(
        precisions=[
            {
                "name": "fp32",
                "resources": {
                    "requests": {"cpu": 1, "memory": "1Gi", "ephemeral-storage": "1Gi"},
                    "limits": {"hugepages-2Mi": "2Mi", "nvidia.com/mig-1g.5gb": 1},
                },
            }
        ]
    ),
    "a claimed device": model(accelerator={"deviceClassName": "gpu.nvidia.com", "engineProcesses": 2}),
    "a device of the sidecar": model(
        engine="Sidecar",
        sidecar={**SIDECAR, "resources": {"limits": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": 1}}},
        accelerator={"tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    ),
    "some tenants first": model(rollout={"canaryPercent": 10, "soakSeconds": 0, "strategy": "Replace"}),
    "an amount in powers of ten": model(memoryLimit="0.5e9"),
    "an engine's memory as a whole number": model(memoryLimit=100_000_000),
    "an object store by its address": tenant(storage={"s3": {**S3, "endpoint": "http://[fd00::1]:9000/"}}),
    "an object store at the last port": tenant(storage={"s3": {**S3, "publicEndpoint": "http://10.0.0.1:65535"}}),
    **{
        f"an object store at {host}": tenant(storage={"s3": {**S3, "endpoint": f"http://{host}"}})
        for host in ("10.0.0.1", "1.2.3.254", "127.example", "0x.example", "kubernetes.example", "[fd00::1:ffff:2]")
    },
    "links for a laptop": tenant(storage={"s3": {**S3, "publicEndpoint": "http://localhost:9000"}}),
    "a prefix of several parts": tenant(storage={"s3": {**S3, "prefix": "fleet/..audio/team.a"}}),
    "a Secret whose name has dots": tenant(redis={"secretRef": {"name": "redis.acme.1"}}),
    "no pause but after paragraphs": model(
        pauses={"sentenceMilliseconds": 0, "clauseMilliseconds": 0, "lineMilliseconds": 0}
    ),
    "pages of a few origins": tenant(
        cors={"allowedOrigins": ["https://app.example", "http://localhost:3000", "http://[::1]:8080", "app://speech"]}
    ),
    "pages of every origin": tenant(cors={"allowedOrigins": ["*"], "maxAgeSeconds": 0}),
    "a port that only begins as the default one": tenant(cors={"allowedOrigins": ["https://app.example:4433"]}),
    "the default port of the other scheme": tenant(cors={"allowedOrigins": ["http://app.example:443"]}),
    "a public URL with a path": tenant(publicURL="https://speech.example:8443/teams/acme/"),
    "a public URL without encryption": tenant(publicURL="http://10.0.0.1"),
    "the best quality": model(precisions=[{"name": "fp32", "quality": "10.0", "resources": RESOURCES}]),
}

MAX_RULE = "minReplicas must not exceed maxReplicas"
SOURCE_RULE = "source must set exactly one of persistentVolumeClaim, image, s3 and builtIn"
REFUSED: dict[str, tuple[Object, str]] = {
    "an engine that may have no memory": (model(memoryLimit="0"), "memoryLimit must be greater than 0"),
    "an amount that nobody can count": (
        model(precisions=[{"name": "fp32", "resources": {"limits": {"cpu": "1e9999999", "memory": "1Gi"}}}]),
        "spec.precisions[0].resources.limits.cpu",
    ),
    "a limit on a resource of no domain": (
        model(precisions=[{"name": "fp32", "resources": {**RESOURCES, "limits": {"gpu": 1}}}]),
        "resources.limits may set cpu, memory, ephemeral-storage",
    ),
    "a request for a resource of no domain": (
        model(precisions=[{"name": "fp32", "resources": {"requests": {**RESOURCES["requests"], "CPU": 1}}}]),
        "resources.requests may set cpu, memory, ephemeral-storage",
    ),
    "a name with two dots in a row": (tenant(redis={"secretRef": {"name": "a..b"}}), "spec.redis.secretRef.name"),
    "a port that is no number": (
        tenant(storage={"s3": {**S3, "endpoint": "https://s3.example:http"}}),
        "spec.storage.s3.endpoint",
    ),
    "port zero": (tenant(storage={"s3": {**S3, "publicEndpoint": "https://s3:0"}}), "spec.storage.s3.publicEndpoint"),
    "half an address": (tenant(storage={"s3": {**S3, "endpoint": "https://[::1"}}), "spec.storage.s3.endpoint"),
    "a port without a host": (
        tenant(auth={"modes": ["JWT"], "external": {"jwksURL": "https://:443", "issuer": "i", "audience": "a"}}),
        "spec.auth.external.jwksURL",
    ),
    **{
        f"an object store at {host}": (tenant(storage={"s3": {**S3, "endpoint": f"http://{host}"}}), message)
        for message, hosts in {
            "an IPv4 address is four decimal numbers": (
                "2852039166",
                "0xA9FEA9FE:80",
                "169.254.43518",
                "0251.0376.0251.0376",
                "127.1",
                "0.0.0.0",
            ),
            "the host must not be a loopback, link-local or metadata address": (
                "169.254.169.254",
                "127.0.0.1:9090",
                "LOCALHOST",
                "a.localhost.",
                "metadata.google.internal",
                "[::1]",
                "[0:0:0:0:0:0:0:1]",
                "[::]",
                "[fe80::1]",
                "[FEBF::1]",
                "[::ffff:169.254.169.254]",
                "[::ffff:a9fe:a9fe]",
                "[0:0:0:0:0:FFFF:a9fe:a9fe]",
                "[64:ff9b::169.254.169.254]",
            ),
            "the host must not be the API server": ("kubernetes.default", "Kubernetes.Default.svc.cluster.local:443"),
        }.items()
        for host in hosts
    },
    "an issuer on the link": (
        tenant(auth={"modes": ["JWT"], "external": {"jwksURL": "https://[fe80::1]/", "issuer": "i", "audience": "a"}}),
        "the host must not be a loopback, link-local or metadata address",
    ),
    "weights of the API server": (
        model(
            engine="Onnx",
            source={"s3": {**S3_SOURCE, "endpoint": "https://kubernetes.default.svc"}},
            onnx=HIBARI,
        ),
        "the host must not be the API server",
    ),
    "an engine that is this machine": (
        model(engine="Remote", remote={"url": "http://localhost:8080/a"}),
        "the host must not be a loopback, link-local or metadata address",
    ),
    "a region that cannot be signed for": (
        tenant(storage={"s3": {**S3, "region": "eu 1"}}),
        "spec.storage.s3.region",
    ),
    "a bucket with a space": (tenant(storage={"s3": {**S3, "bucket": "my bucket"}}), "spec.storage.s3.bucket"),
    "a prefix out of the bucket": (
        tenant(storage={"s3": {**S3, "prefix": "fleet/../audio"}}),
        "prefix must not contain . or .. as a path segment",
    ),
    "a model's name too long": (named(MODEL, "m" * 53), "metadata.name must consist of at most 52"),
    "a model's name with a dot": (named(MODEL, "a.b"), "metadata.name must consist of at most 52"),
    "an unknown engine": (model(engine="Festival"), "Unsupported value"),
    "an unknown field": (model(imag="x"), 'unknown field "spec.imag"'),
    "no voices": (model(voices=[]), "should have at least 1 items"),
    "the same voice twice": (model(voices=[{"name": "a"}, {"name": "a"}]), "Duplicate value"),
    "a language that is none": (model(languages=["English!"]), "spec.languages[0]"),
    "a sample rate out of range": (model(sampleRateHz=4000), "spec.sampleRateHz"),
    "no precisions": (model(precisions=[]), "should have at least 1 items"),
    "an unknown precision": (model(precisions=[{"name": "fp8", "resources": RESOURCES}]), "Unsupported value"),
    "the same precision twice": (
        model(precisions=[{"name": "fp32", "resources": RESOURCES}] * 2),
        "precisions must have unique names",
    ),
    "resources without memory": (
        model(precisions=[{"name": "fp32", "resources": {"limits": {"cpu": "1"}}}]),
        "resources must set cpu and memory",
    ),
    "a price that is a number": (
        model(precisions=[{"name": "fp32", "hourlyCost": 1.2, "resources": RESOURCES}]),
        "must be of type string",
    ),
    "a price that is no number": (
        model(precisions=[{"name": "fp32", "hourlyCost": "cheap", "resources": RESOURCES}]),
        "hourlyCost",
    ),
    "a quantity that is none": (
        model(precisions=[{"name": "fp32", "resources": {"limits": {"cpu": "one", "memory": "1Gi"}}}]),
        "spec.precisions[0].resources.limits.cpu",
    ),
    "an engine without its weights": (
        model(engine="Onnx", onnx=HIBARI),
        "source is required for engines Onnx, CosyVoice and IndexTTS",
    ),
    "weights for an engine without": (
        model(source={"builtIn": "slt"}),
        "source is allowed only for engines Onnx, CosyVoice and IndexTTS",
    ),
    "two sources": (
        model(engine="Onnx", source={"builtIn": "heart", "image": {"reference": "b"}}, onnx=HIBARI),
        SOURCE_RULE,
    ),
    "an empty source": (model(engine="Onnx", source={}, onnx=HIBARI), SOURCE_RULE),
    "Onnx without its options": (model(engine="Onnx", source=CLAIM), "onnx is required for engine Onnx"),
    "options of Onnx for another engine": (model(onnx=HIBARI), "onnx is required for engine Onnx, and not allowed"),
    "an unknown family": (model(engine="Onnx", source=CLAIM, onnx={**HIBARI, "family": "Vits"}), "spec.onnx.family"),
    "a graph of no name": (
        model(engine="Onnx", source=CLAIM, onnx={"family": "Hibari"}),
        "onnx.files.model is required: the path of the graph in the source",
    ),
    "a precision without a graph": (
        model(
            engine="Onnx",
            source=CLAIM,
            onnx={"family": "Hibari"},
            precisions=[
                {"name": "fp32", "resources": RESOURCES, "files": {"model": "a.onnx"}},
                {"name": "int8", "resources": RESOURCES},
            ],
        ),
        "onnx.files.model is required: the path of the graph in the source",
    ),
    "a Piper voice without its configuration": (
        model(engine="Onnx", source=CLAIM, onnx={**HIBARI, "family": "Piper"}),
        "onnx.files.config is required for family Piper",
    ),
    "a voice that no image has": (
        model(engine="Onnx", source={"builtIn": "slt"}, onnx={"family": "Hibari"}),
        "source.builtIn must be heart, with onnx.family Hibari, or kokoro, with onnx.family Kokoro",
    ),
    "a voice of the image in another family": (
        model(engine="Onnx", source={"builtIn": "heart"}, onnx={"family": "Kokoro"}),
        "source.builtIn must be heart, with onnx.family Hibari, or kokoro, with onnx.family Kokoro",
    ),
    "files beside those of the image": (
        model(engine="Onnx", source={"builtIn": "heart"}, onnx=HIBARI),
        "files are not allowed with source.builtIn",
    ),
    "files at a precision, beside those of the image": (
        model(
            engine="Onnx",
            source={"builtIn": "heart"},
            onnx={"family": "Hibari"},
            precisions=[{"name": "fp32", "resources": RESOURCES, "files": {"model": "a.onnx"}}],
        ),
        "files are not allowed with source.builtIn",
    ),
    "files of an engine without": (
        model(precisions=[{"name": "fp32", "resources": RESOURCES, "files": {"model": "a.onnx"}}]),
        "precisions[].files are allowed only for engine Onnx",
    ),
    "a file that is not fetched": (
        model(engine="Onnx", source={"s3": S3_SOURCE}, onnx={**HIBARI, "files": {"model": "other.onnx"}}),
        "every path in onnx.files and precisions[].files must be one of source.s3.files",
    ),
    "a file of a precision that is not fetched": (
        model(
            engine="Onnx",
            source={"s3": S3_SOURCE},
            onnx=HIBARI,
            precisions=[{"name": "fp32", "resources": RESOURCES, "files": {"model": "other.onnx"}}],
        ),
        "every path in onnx.files and precisions[].files must be one of source.s3.files",
    ),
    "a file outside the source": (
        model(engine="Onnx", source=CLAIM, onnx={**HIBARI, "files": {"model": "../model.onnx"}}),
        "a path must be relative and stay inside its source",
    ),
    "a download outside its directory": (
        model(engine="Onnx", source={"s3": {**S3_SOURCE, "files": [{**S3_FILE, "path": "/etc/passwd"}]}}, onnx=HIBARI),
        "a path must be relative and stay inside its source",
    ),
    "a store without files": (
        model(engine="Onnx", source={"s3": {**S3_SOURCE, "files": []}}, onnx=HIBARI),
        "spec.source.s3.files",
    ),
    "a revision with a space": (
        model(
            engine="Onnx",
            source={"persistentVolumeClaim": {"claimName": "voices", "revision": "of today"}},
            onnx=HIBARI,
        ),
        "spec.source.persistentVolumeClaim.revision",
    ),
    "a checksum that is none": (
        model(engine="Onnx", source={"s3": {**S3_SOURCE, "files": [{**S3_FILE, "sha256": "abc"}]}}, onnx=HIBARI),
        "spec.source.s3.files[0].sha256",
    ),
    "CosyVoice without its options": (
        model(engine="CosyVoice", source={"persistentVolumeClaim": {"claimName": "models"}}),
        "cosyVoice is required for engine CosyVoice",
    ),
    "options of CosyVoice for another engine": (model(cosyVoice={}), "cosyVoice is required for engine CosyVoice"),
    "IndexTTS without its options": (
        model(engine="IndexTTS", source={"image": {"reference": "weights:1"}}),
        "indexTTS is required for engine IndexTTS",
    ),
    "CosyVoice with 8 bits": (
        model(**COSYVOICE, precisions=[{"name": "int8", "resources": RESOURCES}]),
        "engines CosyVoice and IndexTTS have the precisions fp32 and fp16",
    ),
    "a recording outside the source": (
        model(**{**COSYVOICE, "cosyVoice": {"prompts": [{"voice": "a", "wav": "../a.wav"}]}}),
        "a path must be relative and stay inside its source",
    ),
    "code outside the source": (
        model(**{**COSYVOICE, "cosyVoice": {"codePath": "/usr/lib"}}),
        "a path must be relative and stay inside its source",
    ),
    "weights outside the source": (
        model(**{**INDEX_TTS, "indexTTS": {"modelPath": "a/../..", "prompts": [{"voice": "a", "wav": "a.wav"}]}}),
        "a path must be relative and stay inside its source",
    ),
    "an emotion outside the source": (
        model(**{**INDEX_TTS, "indexTTS": {"prompts": [{"voice": "a", "wav": "a.wav", "emotionWav": "/b.wav"}]}}),
        "a path must be relative and stay inside its source",
    ),
    "two emotions": (
        model(
            **{
                **INDEX_TTS,
                "indexTTS": {
                    "prompts": [{"voice": "a", "wav": "a.wav", "emotionWav": "b.wav", "emotionPercent": [10] * 8}]
                },
            }
        ),
        "set either emotionWav or emotionPercent",
    ),
    "seven emotions": (
        model(**{**INDEX_TTS, "indexTTS": {"prompts": [{"voice": "a", "wav": "a.wav", "emotionPercent": [10] * 7}]}}),
        "emotionPercent",
    ),
    "Remote without remote": (model(engine="Remote"), "remote is required for engine Remote"),
    "remote without Remote": (model(remote={"url": "https://x.example"}), "remote is required for engine Remote"),
    "a remote address of another scheme": (model(engine="Remote", remote={"url": "ftp://x"}), "spec.remote.url"),
    "Sidecar without sidecar": (model(engine="Sidecar"), "sidecar is required for engine Sidecar"),
    "a sidecar on the server's port": (
        model(engine="Sidecar", sidecar={**SIDECAR, "port": 8080}),
        "port must not be 8080 or 9090, on which the server container listens",
    ),
    "a sidecar without resources": (
        model(engine="Sidecar", sidecar={"image": "kokoro:1", "port": 8880}),
        "spec.sidecar.resources",
    ),
    "a remote's path with a query": (
        model(engine="Remote", remote={"url": "https://x.example", "pathPrefix": "/v1?a=b"}),
        "spec.remote.pathPrefix",
    ),
    "a remote's address with a query": (
        model(engine="Remote", remote={"url": "https://x.example/?a=b"}),
        "spec.remote.url",
    ),
    "a voice of a remote without a name": (
        model(engine="Remote", remote={"url": "https://x.example", "voices": {"": "a"}}),
        "a voice must have 1 to 128 characters",
    ),
    "a format that a remote cannot be asked for": (
        model(engine="Remote", remote={"url": "https://x.example", "responseFormat": "mp3"}),
        "spec.remote.responseFormat",
    ),
    "a sidecar's port out of range": (
        model(engine="Sidecar", sidecar={**SIDECAR, "port": 0}),
        "spec.sidecar.port",
    ),
    "a voice of an unknown adapter": (
        model(voices=[{"name": "a", "adapter": "legal"}]),
        "voices[].adapter must name one of adapters",
    ),
    "an adapter for eSpeak NG": (
        model(adapters=[{"name": "legal", "source": CLAIM}]),
        "adapters are allowed only for engines Onnx, CosyVoice and IndexTTS",
    ),
    "an adapter from nowhere": (
        adapted(adapters=[{"name": "calm"}]),
        "set source, path, or both: the place of the adapter's files",
    ),
    "an adapter in the image": (
        adapted(adapters=[{"name": "calm", "source": {"builtIn": "heart"}, "path": "calm.npz"}]),
        "spec.adapters[0].source",
    ),
    "an adapter in two places": (
        adapted(adapters=[{"name": "calm", "source": {**CLAIM, "image": {"reference": "a:1"}}, "path": "calm.npz"}]),
        "source must set exactly one of persistentVolumeClaim, image and s3",
    ),
    "an adapter beside a voice of the image": (
        adapted(source={"builtIn": "heart"}, onnx={"family": "Hibari"}),
        "adapters[].source is required with source.builtIn: the server image contains no adapters",
    ),
    "an adapter without a file": (
        adapted(adapters=[{"name": "calm", "source": CLAIM}]),
        "adapters[].path is required for engine Onnx: the archive in the source",
    ),
    "an adapter that is not in the model's store": (
        adapted(source={"s3": S3_SOURCE}),
        "adapters[].path must be one of the files of its source.s3",
    ),
    "an adapter that is not in its own store": (
        adapted(adapters=[{"name": "calm", "source": {"s3": S3_SOURCE}, "path": "calm.npz"}]),
        "adapters[].path must be one of the files of its source.s3",
    ),
    "an adapter without memory": (
        adapted(adapters=[{"name": "calm", "path": "calm.npz", "memory": "0"}]),
        "memory must be greater than 0",
    ),
    "a voice with an adapter of nobody": (
        adapted(voices=[{"name": "heart-calm", "adapter": "calm"}]),
        "voices[] of engine Onnx must have adapter and baseVoice, or neither",
    ),
    "a voice of another without an adapter": (
        adapted(voices=[{"name": "heart-calm", "baseVoice": "heart"}]),
        "voices[] of engine Onnx must have adapter and baseVoice, or neither",
    ),
    "a voice that adapts itself": (
        adapted(voices=[{**CALM, "name": "heart"}]),
        "voices[].baseVoice must be another voice: the voice with the adapter has a name of its own",
    ),
    "a speaker of another speaker": (
        model(**COSYVOICE, voices=[{"name": "anna", "baseVoice": "ben"}]),
        "voices[].baseVoice is allowed only for engine Onnx",
    ),
    "an adapter of compiled weights": (
        model(
            **{**COSYVOICE, "cosyVoice": {**COSYVOICE["cosyVoice"], "loadJit": True}},
            adapters=[{"name": "legal", "source": CLAIM}],
        ),
        "cosyVoice.loadJit must be false with adapters: it compiles the weights that they change",
    ),
    "an accelerator without a device": (
        model(accelerator={"nodeSelector": {"gpu": "yes"}}),
        "accelerator needs a device: set accelerator.deviceClassName, or an extended resource",
    ),
    "two devices for each pod": (
        model(
            accelerator={"deviceClassName": "gpu.nvidia.com"},
            precisions=[{"name": "fp16", "resources": {**RESOURCES, "limits": {"nvidia.com/gpu": 1}}}],
        ),
        "set either accelerator.deviceClassName or a resource of nvidia.com",
    ),
    "no tenant first": (model(rollout={"canaryPercent": 0}), "spec.rollout.canaryPercent"),
    "a pool's precision that the model lacks": (
        model(pool={"precision": "int8"}),
        "pool.precision must be one of precisions",
    ),
    "a quality above 10": (
        model(precisions=[{"name": "fp32", "quality": "10.5", "resources": RESOURCES}]),
        "spec.precisions[0].quality",
    ),
    "requests above their limits": (
        model(
            precisions=[
                {
                    "name": "fp32",
                    "resources": {"requests": {"cpu": 1, "memory": "2Gi"}, "limits": {"memory": "1025Mi"}},
                }
            ]
        ),
        "resources.requests must not exceed resources.limits",
    ),
    "a voice of a language that the model lacks": (
        model(voices=[{"name": "v", "languages": ["de"]}]),
        "voices[].languages must each be one of languages",
    ),
    "a voice whose name breaks the line": (model(voices=[{"name": "a\nb"}]), "spec.voices[0].name"),
    "a model that falls back to itself": (
        model(fallback={"modelRef": {"name": "espeak"}}),
        "spec.fallback must name another model",
    ),
    "a path out of the volume": (
        model(engine="Onnx", source={"persistentVolumeClaim": {"claimName": "m", "path": "a/../../b"}}, onnx=HIBARI),
        "a path must be relative and stay inside its source",
    ),
    "a path from the root": (
        model(engine="Onnx", source={"persistentVolumeClaim": {"claimName": "m", "path": "/etc"}}, onnx=HIBARI),
        "a path must be relative and stay inside its source",
    ),
    "an image with a space": (model(image="a b"), "spec.image"),
    "a password in an address": (
        model(engine="Remote", remote={"url": "https://me:secret@speech.example"}),
        "spec.remote.url",
    ),
    "an object store's address with a path": (
        tenant(storage={"s3": {**S3, "endpoint": "https://s3.example/speech"}}),
        "spec.storage.s3.endpoint",
    ),
    "a sidecar that runs as root": (
        model(engine="Sidecar", sidecar={**SIDECAR, "runAsUser": 0}),
        "spec.sidecar.runAsUser",
    ),
    "a writable path that is relative": (
        model(engine="Sidecar", sidecar={**SIDECAR, "writablePaths": ["cache"]}),
        "spec.sidecar.writablePaths[0]",
    ),
    "an alias of two models": (
        tenant(models=[{"name": "a", "aliases": ["tts-1"]}, {"name": "b", "aliases": ["tts-1"]}]),
        "models[].aliases must not repeat a name or an alias of another model",
    ),
    "an alias that is another model's name": (
        tenant(models=[{"name": "a"}, {"name": "b", "aliases": ["a"]}]),
        "models[].aliases must not repeat a name or an alias of another model",
    ),
    "an alias of a voice without letters": (tenant(voiceAliases={"": "zh"}), "an alias must have 1 to 64 characters"),
    "an issuer's keys without encryption": (
        tenant(auth={"modes": ["JWT"], "external": {"jwksURL": "http://id.example", "issuer": "i", "audience": "a"}}),
        "spec.auth.external.jwksURL",
    ),
    "a day of the week twice": (window(days=["Sat", "Sat"]), "Duplicate value"),
    "a pre-warm longer than an hour": (scheduled(preWarmSeconds=3601), "less than or equal to 3600"),
    "a gateway's namespace that is none": (
        tenant(exposure={"gateway": {"name": "g", "namespace": "a.b"}, "hostname": "a.example"}),
        "spec.exposure.gateway.namespace",
    ),
    "a tenant's name too long": (named(TENANT, "t" * 41), "metadata.name must consist of at most 40"),
    "a tenant's name that begins with a digit": (named(TENANT, "1acme"), "begin with a letter"),
    "a tenant without a spec": (changed(TENANT, {"spec": None}), "spec: Required value"),
    "no models": (tenant(models=[]), "should have at least 1 items"),
    "the same model twice": (tenant(models=[{"name": "a"}, {"name": "a"}]), "models must have unique names"),
    "an unknown tier": (tenant(tier="Gold"), 'supported values: "Basic", "VIP", "Enterprise"'),
    "an unknown scenario": (tenant(scenario="Karaoke"), "Unsupported value"),
    "a tenant that names an image": (tenant(image="evil:1"), 'unknown field "spec.image"'),
    "a precision that it does not allow": (
        tenant(models=[{"name": "a", "precision": "fp16", "allowedPrecisions": ["int8"]}]),
        "precision must be one of allowedPrecisions",
    ),
    "bounds on the default model": (
        tenant(models=[{"name": "a", "minReplicas": 1}]),
        "models[0] takes its replica bounds from schedule",
    ),
    "a model's maximum alone": (
        tenant(models=[{"name": "a"}, {"name": "b", "maxReplicas": 1}]),
        "maxReplicas requires minReplicas",
    ),
    "a model's bounds upside down": (
        tenant(models=[{"name": "a"}, {"name": "b", "minReplicas": 2, "maxReplicas": 1}]),
        MAX_RULE,
    ),
    "routing without a default": (
        tenant(languageRouting=[{"language": "zh", "voice": "x"}]),
        "languageRouting requires an entry for language default",
    ),
    "a language routed twice": (
        tenant(languageRouting=[{"language": "default", "voice": "x"}, {"language": "default", "voice": "y"}]),
        "Duplicate value",
    ),
    "a wait without a wake": (
        scheduled(maxWaitSeconds=30),
        "maxWaitSeconds and wakeSeconds require wakeOnRequest: true",
    ),
    "the length of a wake that is off": (
        scheduled(wakeOnRequest=False, wakeSeconds=600),
        "maxWaitSeconds and wakeSeconds require wakeOnRequest: true",
    ),
    "a wait longer than the wake": (
        scheduled(wakeOnRequest=True, maxWaitSeconds=120, wakeSeconds=60),
        "maxWaitSeconds must not exceed wakeSeconds",
    ),
    "a wait longer than ten minutes": (
        scheduled(wakeOnRequest=True, maxWaitSeconds=601, wakeSeconds=1200),
        "less than or equal to 600",
    ),
    "a schedule of nothing": (tenant(schedule={}), "a schedule requires preset or default"),
    "the preset and windows": (
        tenant(schedule={"preset": "DayNightWeekend", "windows": [{"name": "x", "minReplicas": 1, **NIGHT}]}),
        "preset defines default and windows",
    ),
    "the preset and a default": (
        tenant(schedule={"preset": "DayNightWeekend", "default": DAY}),
        "preset defines default and windows",
    ),
    "an unknown preset": (tenant(schedule={"preset": "NightOwl"}), "Unsupported value"),
    "a window without times or days": (window(), "a window requires start and end, or days, or both"),
    "a window with a start alone": (window(start="22:00"), "set both start and end"),
    "a window with an end alone": (window(end="22:00"), "set both start and end"),
    "a window of no length": (window(start="06:00", end="06:00"), "start and end must differ"),
    "a start of 24:00": (window(start="24:00", end="06:00"), "spec.schedule.windows[0].start"),
    "a time of one digit": (window(start="6:00", end="7:00"), "spec.schedule.windows[0].start"),
    "a minute that is none": (window(start="06:60", end="07:00"), "spec.schedule.windows[0].start"),
    "a day that is none": (window(days=["Caturday"]), "Unsupported value"),
    "bounds upside down": (window(**NIGHT, maxReplicas=0), MAX_RULE),
    "zero beside a maximum": (
        scheduled(default={"minReplicas": 0, "maxReplicas": 2}),
        "and may be 0 only if maxReplicas is 0",
    ),
    "a negative minimum": (scheduled(default={"minReplicas": -1}), "greater than or equal to 0"),
    "more replicas than anyone has": (scheduled(default={"minReplicas": 1001}), "less than or equal to 1000"),
    "windows of one name": (
        scheduled(windows=[{"name": "a", "minReplicas": 1, **NIGHT}, {"name": "a", "minReplicas": 2, **NIGHT}]),
        "windows must have unique names",
    ),
    "a window's name with spaces": (window(**NIGHT, name="late night"), "spec.schedule.windows[0].name"),
    "an exception that ends before it begins": (
        scheduled(exceptions=[{"name": "x", "from": "2026-11-12", "to": "2026-11-11", **DAY}]),
        "from must not be later than to",
    ),
    "an exception whose hours cross midnight": (
        scheduled(
            exceptions=[
                {"name": "x", "from": "2026-11-11", "to": "2026-11-12", "start": "22:00", "end": "06:00", **DAY}
            ]
        ),
        "hours of an exception do not cross midnight",
    ),
    "an exception that never starts": (
        scheduled(exceptions=[{"name": "x", "from": "2026-11-11", "to": "2026-11-12", "end": "06:00", **DAY}]),
        "set both start and end",
    ),
    "an override without an end": (scheduled(override=DAY), "spec.schedule.override.until"),
    "an override that ends at no instant": (
        scheduled(override={"until": "2026-11-30 18:00", **DAY}),
        "spec.schedule.override.until",
    ),
    "an override that ends on 30 February": (
        scheduled(override={"until": "2026-02-30T18:00:00Z", **DAY}),
        "spec.schedule.override.until",
    ),
    "an override with more at least than at most": (
        scheduled(override={"until": "2026-11-30T18:00:00Z", "minReplicas": 7, "maxReplicas": 3}),
        MAX_RULE,
    ),
    "a date that is none": (
        scheduled(exceptions=[{"name": "x", "from": "2026-02-30", "to": "2026-03-01", **DAY}]),
        "spec.schedule.exceptions[0].from",
    ),
    "an exception with dates and a calendar": (
        scheduled(
            exceptions=[
                {"name": "x", "from": "2026-11-11", "to": "2026-11-12", "calendarRef": {"name": "de-2026"}, **DAY}
            ]
        ),
        "an exception requires from and to, or calendarRef instead of both",
    ),
    "bounds by the clock for the first model": (
        tenant(models=[{"name": "a", "windows": [{"name": "night", "minReplicas": 1}]}]),
        "the first model takes its bounds from schedule",
    ),
    "bounds of a model in a window that are out of order": (
        tenant(models=[{"name": "a"}, {"name": "b", "windows": [{"name": "n", "minReplicas": 2, "maxReplicas": 1}]}]),
        "minReplicas must not exceed maxReplicas",
    ),
    "a behavior with a policy of no kind": (
        window(**NIGHT, behavior={"scaleUp": {"policies": [{"type": "Nodes", "value": 1, "periodSeconds": 1}]}}),
        "spec.schedule.windows[0].behavior.scaleUp.policies[0].type",
    ),
    "an exception without dates": (
        scheduled(exceptions=[{"name": "x", **DAY}]),
        "an exception requires from and to, or calendarRef instead of both",
    ),
    "a calendar whose range ends before it begins": (
        calendar_body("de-2026", {"name": "Christmas", "from": "2026-12-26", "to": "2026-12-25"}),
        "from must not be later than to",
    ),
    "a calendar with a date that does not exist": (
        calendar_body("de-2026", {"name": "leap day", "from": "2026-02-29"}),
        "spec.dates[0].from",
    ),
    "a calendar with a date twice": (
        calendar_body("de-2026", *[{"name": "Labour Day", "from": "2026-05-01"}] * 2),
        "Duplicate value",
    ),
    "exceptions of one name": (
        scheduled(exceptions=[{"name": "x", "from": "2026-01-01", "to": "2026-01-01", **DAY}] * 2),
        "exceptions must have unique names",
    ),
    "a time zone of another planet": (scheduled(timeZone="Mars/Olympus_Mons"), "IANA time zone database"),
    "an empty time zone": (scheduled(timeZone=""), "spec.schedule.timeZone"),
    "an offset for a time zone": (scheduled(timeZone="+08:00"), "spec.schedule.timeZone"),
    "the machine's own time zone": (scheduled(timeZone="Local"), "IANA time zone database"),
    "a name without a slash that is no zone": (scheduled(timeZone="Singapur"), "IANA time zone database"),
    "an offset like those of POSIX": (scheduled(timeZone="CET-1CEST"), "IANA time zone database"),
    "a name in lower case": (scheduled(timeZone="gmt"), "spec.schedule.timeZone"),
    "CPU without its target": (
        tenant(autoscaling={"metrics": [{"type": "CPU"}]}),
        "set only averageUtilization for type CPU",
    ),
    "requests in flight in percent": (
        tenant(autoscaling={"metrics": [{"type": "InFlight", "averageUtilization": 70}]}),
        "only averageValue for InFlight and QueueDepth",
    ),
    "a target of no requests": (
        tenant(autoscaling={"metrics": [{"type": "InFlight", "averageValue": "0"}]}),
        "averageValue must be greater than 0",
    ),
    "a quota of nothing": (tenant(quota={"requestsPerMinute": 0}), "greater than or equal to 1"),
    "an unknown limit": (tenant(quota={"requestsPerHour": 1}), 'unknown field "spec.quota.requestsPerHour"'),
    "an unknown way to authenticate": (tenant(auth={"modes": ["Basic"]}), "Unsupported value"),
    "no way to authenticate": (tenant(auth={"modes": []}), "should have at least 1 items"),
    "None beside another mode": (
        tenant(auth={"modes": ["None", "APIKey"]}),
        "mode None cannot be combined with other modes",
    ),
    "another issuer without tokens": (
        tenant(auth={"external": {"jwksURL": "https://x.example", "issuer": "i", "audience": "a"}}),
        "external requires JWT in modes",
    ),
    "everybody, from everywhere": (
        tenant(auth={"modes": ["None"]}, exposure={"gateway": {"name": "g"}, "hostname": "a.example"}),
        "auth.modes None is not allowed with exposure",
    ),
    "a gateway and an ingress controller": (
        tenant(exposure={"gateway": {"name": "g"}, "ingress": {}}),
        "exposure requires exactly one of gateway and ingress",
    ),
    "a host name without a way in": (
        tenant(exposure={"hostname": "a.example"}),
        "exposure requires exactly one of gateway and ingress",
    ),
    "a certificate of nowhere": (
        tenant(exposure={"ingress": {"tls": {}}}),
        "tls requires exactly one of secretRef and issuerRef",
    ),
    "a certificate of two": (
        tenant(exposure={"ingress": {"tls": {"secretRef": {"name": "a"}, "issuerRef": {"name": "b"}}}}),
        "tls requires exactly one of secretRef and issuerRef",
    ),
    "a host name that is none": (
        tenant(exposure={"gateway": {"name": "g"}, "hostname": "not a host"}),
        "spec.exposure.hostname",
    ),
    "a shared tenant with a schedule": (
        tenant(isolation="Shared", schedule={"default": DAY}),
        "isolation Shared does not allow schedule, autoscaling, rollout, redis, storage or cors",
    ),
    "a shared tenant with a Redis": (
        tenant(isolation="Shared", redis={"secretRef": {"name": "r"}}),
        "isolation Shared does not allow schedule, autoscaling, rollout, redis, storage or cors",
    ),
    "a shared tenant with an issuer": (
        tenant(
            isolation="Shared",
            auth={"modes": ["JWT"], "external": {"jwksURL": "https://x.example", "issuer": "i", "audience": "a"}},
        ),
        "isolation Shared does not allow auth.external",
    ),
    "a shared tenant without a credential": (
        tenant(isolation="Shared", auth={"modes": ["None"]}),
        "isolation Shared does not allow auth.modes None",
    ),
    "a shared tenant with pages of its own": (
        tenant(isolation="Shared", cors={"allowedOrigins": ["https://app.example"]}),
        "isolation Shared does not allow schedule, autoscaling, rollout, redis, storage or cors",
    ),
    "a link that never expires": (tenant(storage={"linkSeconds": 0}), "spec.storage.linkSeconds"),
    "a pause of more than ten seconds": (model(pauses={"lineMilliseconds": 10_001}), "less than or equal to 10000"),
    "a pause before the end": (model(pauses={"clauseMilliseconds": -1}), "greater than or equal to 0"),
    "a pause after every word": (
        model(pauses={"wordMilliseconds": 10}),
        'unknown field "spec.pauses.wordMilliseconds"',
    ),
    "an origin with a path": (tenant(cors={"allowedOrigins": ["https://app.example/"]}), "spec.cors.allowedOrigins[0]"),
    "an origin with a longer path": (
        tenant(cors={"allowedOrigins": ["https://app.example/speech"]}),
        "spec.cors.allowedOrigins[0]",
    ),
    "an origin without a scheme": (tenant(cors={"allowedOrigins": ["app.example"]}), "spec.cors.allowedOrigins[0]"),
    "an origin in capitals": (tenant(cors={"allowedOrigins": ["https://App.example"]}), "spec.cors.allowedOrigins[0]"),
    "every origin below a domain": (
        tenant(cors={"allowedOrigins": ["https://*.app.example"]}),
        "spec.cors.allowedOrigins[0]",
    ),
    "an origin with a query": (
        tenant(cors={"allowedOrigins": ["https://app.example?a"]}),
        "spec.cors.allowedOrigins[0]",
    ),
    "an origin with a user": (
        tenant(cors={"allowedOrigins": ["https://me@app.example"]}),
        "spec.cors.allowedOrigins[0]",
    ),
    "the origin of no page": (tenant(cors={"allowedOrigins": ["null"]}), "spec.cors.allowedOrigins[0]"),
    "an origin with port zero": (
        tenant(cors={"allowedOrigins": ["http://app.example:0"]}),
        "spec.cors.allowedOrigins[0]",
    ),
    "an origin without a host": (tenant(cors={"allowedOrigins": ["https://:8443"]}), "spec.cors.allowedOrigins[0]"),
    "a public URL with a query": (tenant(publicURL="https://speech.example/acme?x=1"), "spec.publicURL"),
    "a public URL with a fragment": (tenant(publicURL="https://speech.example/#acme"), "spec.publicURL"),
    "a public URL of another scheme": (tenant(publicURL="ftp://speech.example"), "spec.publicURL"),
    "a public URL without a scheme": (tenant(publicURL="speech.example"), "spec.publicURL"),
    "a public URL with a user": (tenant(publicURL="https://me:secret@speech.example"), "spec.publicURL"),
    "a public URL without a host": (tenant(publicURL="https:///acme"), "spec.publicURL"),
    "every origin and one more": (
        tenant(cors={"allowedOrigins": ["*", "https://app.example"]}),
        "allowedOrigins with * must not list other origins",
    ),
    "an origin with the port of https": (
        tenant(cors={"allowedOrigins": ["https://app.example:443"]}),
        "allowedOrigins must not contain the default ports",
    ),
    "an origin with the port of http": (
        tenant(cors={"allowedOrigins": ["https://app.example", "http://[::1]:80"]}),
        "allowedOrigins must not contain the default ports",
    ),
    "an origin twice": (tenant(cors={"allowedOrigins": ["https://a", "https://a"]}), "Duplicate value"),
    "no origin": (tenant(cors={"allowedOrigins": []}), "should have at least 1 items"),
    "a permission for two days": (
        tenant(cors={"allowedOrigins": ["*"], "maxAgeSeconds": 172_800}),
        "less than or equal to 86400",
    ),
    "an unknown rollout": (tenant(rollout={"strategy": "Recreate"}), "Unsupported value"),
}
