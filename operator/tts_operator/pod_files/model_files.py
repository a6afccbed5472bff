"""Files of a model that are not in the image: where pods find them, and what identifies them."""

import json
from datetime import datetime
from pathlib import PurePath

from tts_operator.api import TTSModel
from tts_operator.api.source import S3Source
from tts_operator.credentials.presigned_url import S3Keys, presigned_url
from tts_operator.pod_files.serialize import digest, to_json
from tts_server.config.schema import MODEL_DIRECTORY, Download, Downloads


def model_directory(model: TTSModel) -> PurePath | None:
    """Directory in pods that paths in `onnx.files` are relative to; None if the image has the files."""
    source = model.spec.source
    if source is None or source.built_in is not None:
        return None
    claim = source.persistent_volume_claim
    # The volume is mounted whole: a directory that is replaced in it is seen, unlike one that is mounted itself.
    return PurePath(MODEL_DIRECTORY, claim.path) if claim else PurePath(MODEL_DIRECTORY)


def source_digest(model: TTSModel) -> str:
    """Identifies the files of a model as far as its spec does; empty without a source.

    It does not depend on who may read them, nor on the revision of a claim: running pods reload that.
    """
    if model.spec.source is None:
        return ""
    left_out = {"persistent_volume_claim": {"revision"}, "image": {"pull_policy"}, "s3": {"secret_ref", "size_limit"}}
    identity = model.spec.source.model_dump(mode="json", exclude=left_out, exclude_none=True)
    return digest(json.dumps(identity, sort_keys=True))


def revision(model: TTSModel) -> str | None:
    """Revision of the files on a claim; None where the spec itself says which files these are."""
    claim = model.spec.source.persistent_volume_claim if model.spec.source else None
    return claim.revision if claim else None


def downloads_name(model: TTSModel) -> str:
    """Entry of the Secret with the URLs of exactly these files: pods of an earlier spec need theirs meanwhile."""
    return f"{source_digest(model)}.json"


def downloads(source: S3Source, keys: S3Keys, signed_at: datetime) -> str:
    """Content of that entry, which the server's program `fetch-model` reads."""
    files = (
        Download(path=file.path, url=presigned_url(source, file.path, keys, signed_at), sha256=file.sha256)
        for file in source.files
    )
    return to_json(Downloads(files=tuple(files)))
