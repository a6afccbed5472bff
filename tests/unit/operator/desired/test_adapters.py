"""Adapters of a TTSModel: pods mount their files, load them, and have the memory; the cache key follows them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.onnx_models import BUILT_IN, KEYS, onnx_model, s3_source
from tests.support.operator_builders import (
    NOON,
    changes,
    child,
    desired,
    observe,
    planned,
    resolved,
    server_files,
    settle,
)
from tests.support.resources import Object, model, precision
from tts_operator.api import TTSModel
from tts_operator.credentials.model_sources import SourceCredentials, source_credentials
from tts_operator.credentials.presigned_url import S3Keys
from tts_operator.snapshot.observed import Observed
from tts_operator.status.model import tight_memory
from tts_server.config.schema import Downloads, LocalEngine, ModelConfig, ServerConfig

IMAGE = {"image": {"reference": "registry.example/calm:1"}}
CALM_FILE = [{"path": "calm.npz", "sha256": "cd" * 32}]
VOICES = [{"name": "heart"}, {"name": "heart-calm", "adapter": "calm", "baseVoice": "heart"}]


def adapted(place: Object | None = None, **spec: Any) -> TTSModel:
    """The voice of the image, with an adapter from another source."""
    adapter = {"name": "calm", "path": "v1/calm.npz", "source": place or IMAGE}
    return onnx_model(**{"source": BUILT_IN, "voices": VOICES, "adapters": [adapter], **spec})


def seen(known: TTSModel, **others: Any) -> Observed:
    found = observe(known=[known], **others)
    return replace(found, source_credentials={"espeak": SourceCredentials({"": KEYS, "calm": S3Keys("other", "key")})})


def served(observed: Observed) -> ModelConfig:
    return ServerConfig.model_validate_json(server_files(desired(observed))["acme-espeak-server"]).models[0]


def onnx_of(observed: Observed) -> Any:
    engine = served(observed).engine
    assert isinstance(engine, LocalEngine)
    assert engine.onnx is not None
    return engine.onnx.model_dump(mode="json")


def bodies(observed: Observed) -> list[Object]:
    return [dict(manifest.body) for manifest in desired(observed).manifests]


def pod_of(observed: Observed) -> Any:
    return child(bodies(observed), "Deployment", "acme-espeak")["spec"]["template"]["spec"]


def volume(observed: Observed, name: str) -> Any:
    return next((each for each in pod_of(observed)["volumes"] if each["name"] == name), None)


def test_the_adapter_of_a_voice_is_mounted_and_named_in_the_servers_file() -> None:
    observed = seen(adapted())
    assert volume(observed, "adapter-calm") == {
        "name": "adapter-calm",
        "image": {"reference": "registry.example/calm:1", "pullPolicy": "IfNotPresent"},
    }
    (server,) = pod_of(observed)["containers"]
    assert {"name": "adapter-calm", "mountPath": "/srv/ttsfleet/adapters/calm", "readOnly": True} in server[
        "volumeMounts"
    ]
    assert onnx_of(observed)["adapters"] == [
        {"name": "calm", "file": "/srv/ttsfleet/adapters/calm/v1/calm.npz", "voices": {"heart-calm": "heart"}}
    ]
    assert [voice.name for voice in served(observed).voices] == ["heart", "heart-calm"], "callers see it"


def test_an_adapter_without_a_source_of_its_own_is_beside_the_model() -> None:
    claim = {"persistentVolumeClaim": {"claimName": "voices", "path": "en"}}
    beside = onnx_model(source=claim, voices=VOICES, adapters=[{"name": "calm", "path": "calm.npz"}])
    observed = seen(beside)
    assert onnx_of(observed)["adapters"][0]["file"] == "/srv/ttsfleet/model/en/calm.npz"
    assert volume(observed, "adapter-calm") is None


def test_a_directory_of_a_claim_comes_before_the_path() -> None:
    observed = seen(adapted({"persistentVolumeClaim": {"claimName": "tuned", "path": "2026"}}))
    assert onnx_of(observed)["adapters"][0]["file"] == "/srv/ttsfleet/adapters/calm/2026/v1/calm.npz"


def test_an_adapter_that_no_voice_names_is_not_loaded() -> None:
    unused = adapted(voices=VOICES[:1])
    assert onnx_of(seen(unused))["adapters"] == []
    assert volume(seen(unused), "adapter-calm") is None
    plain = onnx_model(voices=VOICES[:1])
    assert pod_of(seen(unused)) == pod_of(seen(plain))


def test_each_store_has_a_container_that_downloads_with_its_own_keys() -> None:
    store = s3_source(bucket="tuned", files=CALM_FILE, sizeLimit="8Mi")
    known = adapted(source=s3_source(), adapters=[{"name": "calm", "path": "calm.npz", "source": store}])
    observed = seen(known)
    secret = child(bodies(observed), "Secret", "acme-espeak-source")
    listed = {name: Downloads.model_validate_json(base64.b64decode(text)) for name, text in secret["data"].items()}
    containers = {each["name"]: each for each in pod_of(observed)["initContainers"]}
    assert list(containers) == ["fetch-model", "fetch-adapter-calm"]
    places = {name: each["args"][2].rpartition("/")[2] for name, each in containers.items()}
    assert [file.path for file in listed[places["fetch-model"]].files] == ["heart.onnx"]
    (file,) = listed[places["fetch-adapter-calm"]].files
    assert (file.path, file.sha256) == ("calm.npz", "cd" * 32)
    assert "/tuned/en/calm.npz?" in file.url
    assert "X-Amz-Credential=other%2F" in file.url
    arguments = containers["fetch-adapter-calm"]["args"]
    assert arguments[3:] == ["--directory", "/srv/ttsfleet/adapters/calm", "--max-bytes", str(8 * 2**20)]
    assert {"name": "adapter-calm", "mountPath": "/srv/ttsfleet/adapters/calm"} in containers["fetch-adapter-calm"][
        "volumeMounts"
    ]
    assert volume(observed, "adapter-calm") == {"name": "adapter-calm", "emptyDir": {"sizeLimit": "8Mi"}}
    assert planned(seen(known, children=settle(observed))) == []


def test_only_the_adapter_may_be_in_a_store() -> None:
    store = s3_source(files=[{"path": "v1/calm.npz", "sha256": "cd" * 32}])
    observed = seen(adapted(store))
    (container,) = pod_of(observed)["initContainers"]
    assert container["name"] == "fetch-adapter-calm"
    egress = child(bodies(observed), "NetworkPolicy", "acme-espeak")["spec"]["egress"]
    assert 9000 in [port["port"] for rule in egress for port in rule["ports"]]
    assert resolved(observed).requeue_at == NOON + timedelta(days=3.5), "URLs are renewed"


def test_a_store_without_its_secret_is_named_by_the_adapter() -> None:
    store = s3_source(files=[{"path": "v1/calm.npz", "sha256": "cd" * 32}])
    found = source_credentials(adapted(store), "ttsfleet-system", {"calm": None})
    assert found.problem is not None
    assert found.problem.message.startswith(
        "TTSModel espeak: Secret ttsfleet-system/voices-reader, named by spec.adapters[calm].source.s3.secretRef,"
    )


def test_a_voice_with_another_adapter_waits_for_its_turn_as_any_change_of_the_model() -> None:
    children = settle(seen(adapted()), NOON - timedelta(hours=1))
    other = adapted(voices=[VOICES[0], {**VOICES[1], "baseVoice": "other"}])
    assert list(changes(resolved(seen(other, children=children)))) == ["acme-espeak"]
    more_languages = adapted(voices=[{**VOICES[0], "languages": ["en"]}, VOICES[1]])
    assert changes(resolved(seen(more_languages, children=children))) == {}


def image(tag: str) -> Object:
    return {"image": {"reference": f"registry.example/calm:{tag}"}}


CHANGES: dict[str, tuple[TTSModel, TTSModel]] = {
    "another adapter": (adapted(image("1")), adapted(image("2"))),
    "another file": (adapted(), adapted(adapters=[{"name": "calm", "path": "v2/calm.npz", "source": IMAGE}])),
    "another base": (
        adapted(),
        adapted(voices=[VOICES[0], {**VOICES[1], "baseVoice": "other"}]),
    ),
    "an adapter more": (onnx_model(voices=VOICES[:1]), adapted()),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
def test_another_adapter_is_other_pods_and_another_version_of_the_audio(before: TTSModel, after: TTSModel) -> None:
    template = [child(bodies(seen(each)), "Deployment", "acme-espeak")["spec"]["template"] for each in (before, after)]
    assert template[0] != template[1]
    assert served(seen(before)).weights_digest != served(seen(after)).weights_digest


def test_a_revision_of_an_adapters_claim_reaches_running_pods() -> None:
    def revised(revision: str) -> TTSModel:
        return adapted({"persistentVolumeClaim": {"claimName": "tuned", "revision": revision}})

    children = settle(seen(revised("1")), NOON - timedelta(hours=1))
    observed = seen(revised("2"), children=children)
    assert [line.split(":")[0] for line in planned(observed)] == ["apply cm/acme-espeak-server"]
    engine = served(observed).engine
    assert isinstance(engine, LocalEngine)
    assert engine.revision == "calm=2"


def test_a_pod_has_the_memory_of_its_adapters_in_each_process() -> None:
    two = precision("fp32", cpu="2", memory="1Gi")
    with_memory = {"name": "calm", "path": "calm.npz", "source": IMAGE, "memory": "100Mi"}
    known = adapted(adapters=[with_memory], precisions=[two], memoryLimit="300Mi")
    (server,) = pod_of(seen(known))["containers"]
    assert server["resources"]["limits"] == {"cpu": "2", "memory": str((1024 + 2 * 100) * 2**20)}
    assert server["resources"]["requests"]["memory"] == str((128 + 2 * 100) * 2**20)
    engine = served(seen(known)).engine
    assert isinstance(engine, LocalEngine)
    assert (engine.processes, engine.memory_limit_bytes) == (2, 400 * 2**20)
    assert tight_memory(known) is None, "2 x 300Mi and 300Mi for the server fit 1Gi"
    assert pod_of(seen(adapted(precisions=[two])))["containers"][0]["resources"]["limits"]["memory"] == "1Gi"


def test_a_speaker_of_cosyvoice_names_its_adapter() -> None:
    known = model(
        engine="CosyVoice",
        source={"persistentVolumeClaim": {"claimName": "models"}},
        cosyVoice={"modelPath": "CosyVoice-300M-SFT"},
        voices=[{"name": "anna"}, {"name": "ben", "adapter": "legal"}, {"name": "eve", "adapter": "beside"}],
        adapters=[{"name": "legal", "source": IMAGE}, {"name": "beside", "path": "lora/beside"}],
    )
    engine = served(seen(known)).engine
    assert isinstance(engine, LocalEngine)
    assert engine.cosy_voice is not None
    options = json.loads(engine.cosy_voice.model_dump_json())
    assert options["adapters"] == {"legal": "/srv/ttsfleet/adapters/legal", "beside": "/srv/ttsfleet/model/lora/beside"}
    assert options["voice_adapters"] == {"ben": "legal", "eve": "beside"}
