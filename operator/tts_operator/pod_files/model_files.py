"""Files of a model and of its adapters that are not in the image: where pods find them, and what identifies them.

A name of an adapter stands for its files; an empty name stands for those of the model.
"""

import json
from datetime import datetime
from pathlib import Path, PurePath

from tts_operator.api import TTSModel
from tts_operator.api.model import external_sources, used_adapters
from tts_operator.api.source import ExternalSource, S3Source
from tts_operator.credentials.presigned_url import S3Keys, presigned_url
from tts_operator.pod_files.serialize import digest, to_json
from tts_server.config.schema import ADAPTERS_DIRECTORY, MODEL_DIRECTORY, Download, Downloads


def model_directory(model: TTSModel) -> PurePath | None:
    """Directory in pods that paths in `onnx.files` are relative to; None if the image has the files."""
    source = external_sources(model).get("")
    return None if source is None else _directory(source, MODEL_DIRECTORY)


def adapter_paths(model: TTSModel) -> dict[str, Path]:
    """Path in pods of each adapter that a voice names."""
    sources = external_sources(model)
    directories = {
        name: _directory(sources[name], mounted_at(name)) if name in sources else model_directory(model)
        for name in used_adapters(model)
    }
    return {
        name: Path(directories[name] or MODEL_DIRECTORY) / (adapter.path or ".")
        for name, adapter in used_adapters(model).items()
    }


def mounted_at(adapter: str) -> PurePath:
    """Directory in pods at which the files are mounted."""
    return PurePath(ADAPTERS_DIRECTORY, adapter) if adapter else PurePath(MODEL_DIRECTORY)


def _directory(source: ExternalSource, mounted: PurePath) -> PurePath:
    claim = source.persistent_volume_claim
    # The volume is mounted whole: a directory that is replaced in it is seen, unlike one that is mounted itself.
    return PurePath(mounted, claim.path) if claim else PurePath(mounted)


def sources_digests(model: TTSModel) -> list[str]:
    """Identify the files of a model and of its adapters as far as its spec does."""
    own = [source_digest(model.spec.source)] if model.spec.source else []
    of_adapters = [digest(name, source_digest(source)) for name, source in external_sources(model).items() if name]
    return own + of_adapters


def source_digest(source: ExternalSource) -> str:
    """Identifies files as far as their source does.

    It does not depend on who may read them, nor on the revision of a claim: running pods reload that.
    """
    left_out = {"persistent_volume_claim": {"revision"}, "image": {"pull_policy"}, "s3": {"secret_ref", "size_limit"}}
    identity = source.model_dump(mode="json", exclude=left_out, exclude_none=True)
    return digest(json.dumps(identity, sort_keys=True))


def revision(model: TTSModel) -> str | None:
    """Revisions of the files on claims; None where the spec itself says which files these are."""
    claims = {name: source.persistent_volume_claim for name, source in external_sources(model).items()}
    named = [f"{name}={claim.revision}".lstrip("=") for name, claim in claims.items() if claim and claim.revision]
    return ",".join(named) or None


def downloads_name(source: ExternalSource) -> str:
    """Entry of the Secret with the URLs of exactly these files: pods of an earlier spec need theirs meanwhile."""
    return f"{source_digest(source)}.json"


def downloads(source: S3Source, keys: S3Keys, signed_at: datetime) -> str:
    """Content of that entry, which the server's program `fetch-model` reads."""
    files = (
        Download(path=file.path, url=presigned_url(source, file.path, keys, signed_at), sha256=file.sha256)
        for file in source.files
    )
    return to_json(Downloads(files=tuple(files)))
