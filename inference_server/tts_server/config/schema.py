"""The files that the operator writes and the server reads: the contract between the two programs.

``server.json`` holds models, voices, routing, identity and storage, ``quota.json`` the limits, which change more often.
The server reads either again when it changes, without a restart. The operator writes JSON; the server reads YAML too.
"""

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, IPvAnyNetwork, JsonValue, field_validator, model_validator

from tts_server.config.config_model import ConfigModel
from tts_server.config.http_url import with_an_authority
from tts_server.config.redis_url import parse_redis_url
from tts_server.config.torch_engines import CosyVoiceConfig, IndexTTSConfig

HTTP_PORT = 8080
METRICS_PORT = 9090

CONFIG_DIRECTORY = Path("/etc/ttsfleet/server")
QUOTA_DIRECTORY = Path("/etc/ttsfleet/quota")
KEYS_DIRECTORY = Path("/etc/ttsfleet/keys")
INTERNAL_DIRECTORY = Path("/etc/ttsfleet/internal")
SIGNING_DIRECTORY = Path("/etc/ttsfleet/signing")
S3_DIRECTORY = Path("/etc/ttsfleet/s3")
REDIS_DIRECTORY = Path("/etc/ttsfleet/redis")
DATA_DIRECTORY = Path("/var/lib/ttsfleet")
MODEL_DIRECTORY = Path("/srv/ttsfleet/model")
"""Files of a pool's model that are not part of the image."""
ADAPTERS_DIRECTORY = Path("/srv/ttsfleet/adapters")
"""Files of the model's adapters, in a directory of the adapter's name each."""
MODEL_SOURCE_DIRECTORY = Path("/etc/ttsfleet/model-source")
MODEL_EXIT_CODE = 3
"""Exit code of a server that does not start because of its model: files, options or voices that do not fit.

The operator tells of it in the status of the TTSModel, in the words of the termination message. Everybody who may use
the model reads them: they must concern nothing else.
"""
CONFIG_FILE = "server.json"
QUOTA_FILE = "quota.json"
DOWNLOADS_FILE = "downloads.json"


class Precision(StrEnum):
    """Numeric precision of a model. Lower case, because requests use these values too."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class AuthMode(StrEnum):
    """Credential that identifies a caller."""

    NONE = "None"
    API_KEY = "APIKey"
    JWT = "JWT"
    """An access token: one that `/v1/auth/token` gives for an API key, or one of an external issuer."""


class VoiceConfig(ConfigModel):
    """One voice of a model."""

    name: Annotated[str, Field(min_length=1)]
    languages: tuple[str, ...] = ()
    """BCP 47 primary subtags of the languages that the voice speaks; empty: all of the model's."""


OnnxFiles = dict[Literal["model", "voices", "vocabulary", "config"], Path]


class OnnxSessionConfig(ConfigModel):
    """How ONNX Runtime runs a graph."""

    graph_optimization_level: Literal["Disabled", "Basic", "Extended", "All"] = "All"
    """How much of the graph is rewritten when it is loaded."""
    device: Literal["CPU", "CUDA"] = "CPU"
    """CUDA needs the package onnxruntime-gpu instead of onnxruntime, and one engine process."""
    memory_arena: Literal["Returned", "Kept", "Off"] = "Returned"
    """Memory of a text's computation: returned after each text, kept for the next, or allocated piece by piece.

    Kept is up to a seventh faster, and the process stays as large as its longest text has made it.
    """


class OnnxAdapterConfig(ConfigModel):
    """A change of a family's voices: further voices, loaded with the model."""

    name: Annotated[str, Field(min_length=1)]
    file: Path
    """An archive by `numpy.savez` of low-rank changes to weights (LoRA), or with one `style` of family Kokoro."""
    voices: Annotated[dict[str, str], Field(min_length=1)]
    """Names of the new voices, each with the voice of the family whose language, and without a style sound, it has."""


class OnnxConfig(ConfigModel):
    """Options of engine Onnx."""

    family: Literal["Hibari", "Kokoro", "Piper"]
    """Architecture of the graph: how text becomes its input, and its output becomes audio."""
    files: OnnxFiles = {}
    """Files of the voice, by what they are. Default: those of the server's packages, and of `tts-install-kokoro`.

    Every family has a `model`. Kokoro has `voices`, a folder of `.bin` files or an archive by `numpy.savez`, and
    `vocabulary`, a JSON object of phonemes and numbers. Piper needs `model`; its `config`, the JSON file that describes
    the voice, is by default the one beside it.
    """
    precision_files: dict[Precision, OnnxFiles] = {}
    """Files of a precision, instead of those in `files`. Each precision is loaded by processes of its own.

    A precision that is not named here is computed with `files`.
    """
    session_options: OnnxSessionConfig = OnnxSessionConfig()
    adapters: tuple[OnnxAdapterConfig, ...] = ()
    """Each has its own copy of the weights in memory, unless it is a style."""
    noise_scale: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    """Family Piper: variation of the sound; unset: as the voice's configuration has it."""
    noise_width: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    """Family Piper: variation of durations; unset: as the voice's configuration has it, 0: none."""


class LocalEngine(ConfigModel):
    """An engine that runs in processes of this pod."""

    type: Literal["Espeak", "Onnx", "CosyVoice", "IndexTTS"] = "Espeak"
    onnx: OnnxConfig | None = None
    """Options of engine Onnx; it needs them, and no other engine has them."""
    cosy_voice: CosyVoiceConfig | None = None
    """Options of engine CosyVoice; it needs them, and no other engine has them."""
    index_tts: Annotated[IndexTTSConfig | None, Field(alias="indexTTS")] = None
    """Options of engine IndexTTS; it needs them, and no other engine has them."""
    python: Path | None = None
    """Python interpreter of the engine's processes, with this package and the engine's requirements.

    Default: for CosyVoice and IndexTTS the variable `TTSFLEET_ENGINE_PYTHON`, else the server's own interpreter.
    """
    load_seconds: Annotated[float, Field(gt=0, le=3600)] | None = None
    """Maximum time for a process of the engine to load. Default: 120."""
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Number of engine processes: the pod's CPU limit divided by the model's threads."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads of each engine process."""
    memory_limit_bytes: Annotated[int, Field(gt=0)] | None = None
    """Resident memory at which the watchdog restarts an engine process; unset: no watchdog."""
    normalized_languages: Annotated[tuple[Literal["en", "zh"], ...], Field(max_length=2)] | None = None
    """Languages whose numbers, dates, money and units are written in words before the engine gets them.

    Unset: those that the engine reads badly, English and Chinese for Espeak. Empty: none.
    """
    revision: str | None = None
    """Revision of the engine's files. When it changes, new processes read them; the old ones finish what they have."""

    @model_validator(mode="after")
    def _options_of_its_type(self) -> Self:
        for name, options in self._options_by_type().items():
            if (self.type == name) != (options is not None):
                field = "indexTTS" if name == "IndexTTS" else name[0].lower() + name[1:]
                raise ValueError(f"{field} must be set for type {name}, and for no other")
        return self

    def _options_by_type(self) -> dict[str, OnnxConfig | CosyVoiceConfig | IndexTTSConfig | None]:
        return {"Onnx": self.onnx, "CosyVoice": self.cosy_voice, "IndexTTS": self.index_tts}

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of the engine's constructor, as JSON has them; a precision may have other files."""
        options = self._options_by_type().get(self.type)
        if options is None:
            return {}
        return options.model_dump(mode="json", exclude_unset=True, exclude={"precision_files"})

    def options_of(self, precision: Precision) -> dict[str, Any]:
        """Keyword arguments of the engine's constructor at `precision`."""
        own = self.onnx.precision_files.get(precision) if self.onnx is not None else None
        if not own:
            return self.options
        return self.options | {"files": self.options.get("files", {}) | {name: str(path) for name, path in own.items()}}


class PoolEngine(ConfigModel):
    """Another pool of the same tenant that serves the model, over HTTP with the tenant's internal credential."""

    type: Literal["Pool"] = "Pool"
    url: str
    """Base URL of the pool's Service, without a path."""


class SpeechServerEngine(ConfigModel):
    """Another speech server: one outside this pod (Remote), or in another container of it (Sidecar)."""

    type: Literal["Remote", "Sidecar"]
    protocol: Literal["OpenAI", "DashScope"] = "OpenAI"
    """OpenAI: `POST {url}{pathPrefix}/audio/speech`. DashScope: Sambert of Alibaba Cloud, over a WebSocket."""
    url: Annotated[
        str,
        Field(pattern=r"^https?://[^/@?#\s]+(/[^?#\s]*)?$", max_length=2048),
        AfterValidator(with_an_authority),
    ]
    """URL of the server, without credentials. A Sidecar's host is 127.0.0.1. Redirects are not followed."""
    path_prefix: Annotated[str, Field(pattern=r"^(/[^/?#\s]+)*$", max_length=256)] = "/v1"
    """Path before `/audio/speech`."""
    model: Annotated[str, Field(min_length=1)] | None = None
    """Model to name in requests to the server; unset: this model's name."""
    voices: dict[str, Annotated[str, Field(min_length=1)]] = {}
    """The server's voices by this model's; a voice that is not listed has the same name there."""
    api_key_file: Path | None = None
    """File with the key that is sent as `Authorization: Bearer`. It is read again when it changes."""
    ca_file: Path | None = None
    """CA certificates (PEM) trusted for `https://`; unset: the system's."""
    response_format: Literal["wav", "pcm"] = "wav"
    """Format to ask for. The header of `wav` states the sample rate, for `pcm` it must be `sampleRateHz`."""
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=192_000)] = 24_000
    """Sample rate of the server's audio. Audio whose header states another rate is resampled to this one."""
    speed: Literal["Passed", "Here"] = "Passed"
    """Place where the speed is changed: the server, which gets it, or this server, which stretches the audio."""
    request_fields: dict[str, JsonValue] = {}
    """Further fields of each request's body, as the server documents them."""
    connect_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Maximum wait for a connection. The model's `firstAudioTimeoutSeconds` limits the whole wait for first audio."""
    silence_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Maximum wait between two parts of the audio."""
    max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Maximum requests at the same time; more are queued here. Unset: the server says when it has too many."""
    retries: Annotated[int, Field(ge=0, le=3)] = 1
    """Further attempts after a connection that fails before the first byte of the answer."""
    refuse_local_addresses: bool = False
    """Refuses to connect where the host turns out to be a loopback, link-local or metadata address.

    The operator sets it for every Remote.
    """

    @model_validator(mode="after")
    def _of_its_type(self) -> Self:
        if self.type == "Sidecar" and not self.url.startswith("http://127.0.0.1:"):
            raise ValueError("url of a Sidecar is http://127.0.0.1:<port>")
        return self


Engine = Annotated[LocalEngine | PoolEngine | SpeechServerEngine, Field(discriminator="type")]


class FallbackVoice(ConfigModel):
    """Voice of the fallback model for a language."""

    language: str
    voice: str


class FallbackConfig(ConfigModel):
    """Model that speaks a whole reply when the model itself fails."""

    model: str
    """Another model of this file. It may have a fallback of its own; a chain has at most three models."""
    voices: tuple[FallbackVoice, ...] = ()
    """Voices by language. Default: the fallback model's first voice for the language, else its first voice."""


class BatchingConfig(ConfigModel):
    """Batching of utterances by an engine that supports it. It is used where the server measures that it is faster."""

    max_size: Annotated[int, Field(ge=1, le=256)] = 8
    """Maximum utterances in a batch."""
    max_wait_milliseconds: Annotated[int, Field(ge=0, le=10_000)] = 50
    """Maximum time that an utterance waits for its batch to fill, while other utterances run or are queued."""


PauseSeconds = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]


SENTENCE_SECONDS = 0.3


class PausesConfig(ConfigModel):
    """Silence at speed 1.0 between parts of a text that the model synthesizes one by one.

    The defaults are those of eSpeak NG inside a text. Silence of the engine's own counts; 0 adds none.
    """

    sentence_seconds: PauseSeconds = SENTENCE_SECONDS
    """After the end of a sentence. With the default, the engine may get several sentences at once."""
    clause_seconds: PauseSeconds = 0.16
    """After a comma, colon or dash at which a long sentence was divided."""
    line_seconds: PauseSeconds = 0.3
    """At a line break that follows no end of a sentence: a title, an item of a list."""
    paragraph_seconds: PauseSeconds = 0.54
    """At an empty line."""

    @property
    def sentences_apart(self) -> bool:
        """Whether the engine must get every sentence alone: between sentences of one text it makes its own pause."""
        return self.sentence_seconds != SENTENCE_SECONDS


class ModelConfig(ConfigModel):
    """One model of the tenant."""

    name: Annotated[str, Field(min_length=1)]
    engine: Engine = LocalEngine()
    languages: tuple[str, ...] = ()
    """BCP 47 primary subtags; empty: those of its voices."""
    voices: tuple[VoiceConfig, ...] = ()
    """The first is the default; empty: every voice that the engine reports."""
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=192_000)] | None = None
    """Expected sample rate of the engine. The engine's own report wins; a difference is logged."""
    precision: Precision = Precision.FP32
    """Precision of requests that name none."""
    allowed_precisions: Annotated[tuple[Precision, ...], Field(min_length=1)] = (Precision.FP32,)
    """Precisions that a request may name."""
    first_audio_timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 3.0
    """Maximum wait for the next audio of an engine; then the utterance has failed."""
    weights_digest: str | None = None
    """Part of the cache's keys; changes with the model's audio. Unset: the engine and its version are used.

    A model that another pool serves needs it: without it, cached audio outlives a change of its weights.
    """
    pauses: PausesConfig = PausesConfig()
    batching: BatchingConfig | None = None
    """Unset: the engine speaks one utterance at a time."""
    fallback: FallbackConfig | None = None
    """Unset: a request fails where the engine does."""
    offered: bool = True
    """Whether callers can name and list the model. If false, it only serves as the fallback of others."""


class LanguageRoute(ConfigModel):
    """Voice for a language; ``default`` stands for every language without a route."""

    language: str
    voice: str


class RemoteHost(ConfigModel):
    """A host that the server sends requests to."""

    refuse_local_addresses: bool = False
    """Refuses to connect where the host turns out to be a loopback, link-local or metadata address.

    The operator sets it for hosts that a tenant names: a name of the tenant's may mean any address.
    """


class ExternalIssuer(RemoteHost):
    """Issuer of access tokens that are accepted besides the server's own: RS256 or ES256, with `exp` and `sub`."""

    jwks_url: Annotated[
        str, Field(pattern=r"^https://[^/@?#\s]+(/[^#\s]*)?$", max_length=2048), AfterValidator(with_an_authority)
    ]
    """URL of its public keys. Redirects are not followed."""
    issuer: Annotated[str, Field(min_length=1, max_length=512)]
    """Required value of `iss`."""
    audience: Annotated[str, Field(min_length=1, max_length=512)]
    """Value that `aud` must be or contain. It keeps tenants apart that trust the same issuer."""
    ca_file: Path | None = None
    """CA certificates (PEM) trusted for `jwksUrl`; unset: the system's."""


class AuthConfig(ConfigModel):
    """Authentication of callers."""

    modes: Annotated[tuple[AuthMode, ...], Field(min_length=1)] = (AuthMode.NONE,)
    """Accepted kinds of credentials: a caller needs one of them."""
    keys_directory: Path | None = None
    """Folder of API keys, one per file: the file's name is the key's name, its content the key's SHA-256 (hex)."""
    internal_directory: Path | None = None
    """Folder with ``token``, the credential between the pools of one tenant."""
    signing_directory: Path | None = None
    """Folder with RSA private keys ``<kid>.pem`` and ``current``, the kid that signs. Unset: a key of this process."""
    external: ExternalIssuer | None = None
    trusted_proxies: tuple[IPvAnyNetwork, ...] | None = None
    """Networks of proxies whose `X-Forwarded-For`, `-Proto`, `-Host` and `-Prefix` are trusted; unset: none."""


class CorsConfig(ConfigModel):
    """Web pages of other origins that may call this server from a browser (CORS)."""

    allowed_origins: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(\*|null|[a-z][a-z0-9+.-]*://[^/?#@\sA-Z]+)$", max_length=255)], ...],
        Field(min_length=1),
    ]
    """Origins as browsers send them, in lower case: `https://app.example`, with its port if it has one. `*`: all."""
    max_age_seconds: Annotated[int, Field(ge=0, le=86_400)] = 600
    """How long a browser may keep the permission."""


class S3Config(RemoteHost):
    """An object store. The bucket must exist."""

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/?#@]+/?$"), AfterValidator(with_an_authority)]
    """URL at which this server reaches the store."""
    region: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$")] = "us-east-1"
    """Region that requests are signed for."""
    bucket: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")]
    prefix: str = ""
    """Prefix of every object key, followed by a slash."""
    public_endpoint: (
        Annotated[str, Field(pattern=r"^https?://[^/?#@]+/?$"), AfterValidator(with_an_authority)] | None
    ) = None
    """URL at which callers reach the store, for links; unset: `endpoint`."""
    path_style: bool = False
    """Whether the bucket is in the path instead of in the host name."""
    access_key_file: Path
    """File with the access key. It is read again when it changes, as the other files here."""
    secret_key_file: Path
    """File with the secret key."""
    ca_file: Path | None = None
    """CA certificates (PEM) trusted for the endpoint; unset: the system's."""


class StorageConfig(ConfigModel):
    """Storage of the audio that callers fetch by link."""

    directory: Path = Path("/tmp/ttsfleet")  # noqa: S108 - for a laptop; the operator always names the pod's own volume
    """Folder of the key that signs links, and of the audio where `s3` is unset. A change takes effect at a restart."""
    s3: S3Config | None = None
    """Object store, used for the audio instead of `directory`."""
    peers_url: Annotated[str, Field(pattern=r"^http://[^/?#@]+$")] | None = None
    """URL whose host resolves to every replica (a headless Service): each then serves the links of all."""
    link_seconds: Annotated[int, Field(ge=1)] = 3600
    """How long a link is valid."""
    retention_seconds: Annotated[int, Field(ge=1)] = 604_800
    """How long audio is stored."""
    max_bytes: Annotated[int, Field(gt=0)] = 512 * 1024 * 1024
    """Maximum size of the folder; the oldest audio is deleted first."""


class CacheConfig(ConfigModel):
    """Audio cache. Identical requests share one synthesis, and later ones its audio."""

    enabled: bool = False
    ttl_seconds: Annotated[int, Field(ge=1)] = 86_400
    """How long audio stays in the cache."""
    max_entries: Annotated[int, Field(ge=1)] = 10_000
    """Maximum entries in memory."""
    max_bytes: Annotated[int, Field(ge=1)] = 64 * 1024 * 1024
    """Maximum audio in memory, and as much again in files where storage is a folder."""
    small_bytes: Annotated[int, Field(ge=0)] = 64 * 1024
    """Size up to which audio is shared through Redis; larger audio is shared through the store."""


class RedisConfig(RemoteHost):
    """Store that replicas share: counters, refresh tokens, small audio. Speech works without it."""

    url: Annotated[str, Field(pattern=r"^rediss?://[^/@?#\s]+(/[0-9]{1,4})?$", max_length=512)] | None = None
    """URL without credentials: `redis://host:6379`, or `rediss://` for TLS; a database number may follow."""
    url_file: Path | None = None
    """File with `redis[s]://[user:password@]host[:port][/database]`, instead of `url`, `username` and `passwordFile`.

    It is read for each new connection, and need not exist when the server starts.
    """
    username: str | None = None
    """ACL user; unset: the default one."""
    password_file: Path | None = None
    """File with the password. It is read for each new connection, so that rotation needs no restart."""
    ca_file: Path | None = None
    """CA certificates (PEM) trusted for `rediss://`; unset, or missing beside a `urlFile`: the system's."""

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("set either url or urlFile")
        if self.url is not None:
            parse_redis_url(self.url)
        if self.url_file is not None and (self.username is not None or self.password_file is not None):
            raise ValueError("urlFile has the user and the password: remove username and passwordFile")
        return self


PublicURL = Annotated[
    str, Field(pattern=r"^https?://[^/?#@\s]+(/[^?#\s]*)?$", max_length=512), AfterValidator(with_an_authority)
]
Weight = Annotated[float, Field(ge=0.001, le=1000, allow_inf_nan=False)]
"""Weight in weighted fair queueing: while both wait, 10 gets ten times as many characters spoken as 1."""


class PoolTenant(ConfigModel):
    """Tenant that a pool serves besides its own; its entry pools have an internal credential of their own."""

    name: Annotated[
        str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", max_length=104)
    ]
    """Name of the tenant: ``<namespace>.<name>``."""
    weight: Weight = 1.0
    """Weight among all tenants of the pool. Unused capacity goes to any tenant, whatever its weight."""
    internal_directory: Path
    """Folder with ``token``, the credential of this tenant's entry pools; without it only this tenant is rejected."""


class ServerConfig(ConfigModel):
    """``server.json``: configuration of one pool, which serves one tenant, or several with `tenants`."""

    tenant: str = "local"
    """``<namespace>.<name>`` in a cluster."""
    tenant_uid: str = ""
    """UID of the TTSTenant, kept with state outside Kubernetes: a later tenant of the same name inherits nothing."""
    role: Literal["Entry", "Member", "Shared"] = "Entry"
    """Entry: serves callers. Member: serves only the entry pools of its tenant and of `tenants`, by credentials.

    Shared: serves the callers of the tenants in `tenantsDirectory`; `tenant` is then the name of the pool itself.
    """
    tenants_directory: Path | None = None
    """Role Shared: folder of `tenants-00.json` to `tenants-15.json`, which may be missing. Changes need no restart."""
    weight: Weight = 1.0
    """Weight of this pool's own tenant among `tenants`."""
    tenants: Annotated[tuple[PoolTenant, ...], Field(max_length=100)] = ()
    """Other tenants whose entry pools a Member serves, for speech only.

    Quota, cache and storage are the entry pools'. At most 100, because the server checks each one's folder four times a
    second.
    """
    models: Annotated[tuple[ModelConfig, ...], Field(min_length=1)]
    """The first is the default."""
    model_aliases: dict[str, str] = {}
    """Model names by alias, such as ``tts-1``."""
    voice_aliases: dict[str, str] = {}
    """Voice names by alias, such as ``alloy``."""
    language_routing: tuple[LanguageRoute, ...] = ()
    """Voices of requests that name none, and of text in a language that the request's voice does not speak."""
    auth: AuthConfig = AuthConfig()
    cors: CorsConfig | None = None
    """Unset: browsers let only pages of this server call it."""
    public_url: PublicURL | None = None
    """URL at which callers reach this server, for links; a path may follow the host. Unset: as the request came.

    `X-Forwarded-Proto`, `-Host` and `-Prefix` of `auth.trustedProxies` say how it came to them.
    """
    storage: StorageConfig = StorageConfig()
    cache: CacheConfig = CacheConfig()
    redis: RedisConfig | None = None
    """Unset: limits, refresh tokens and cache are this replica's own."""
    drain_seconds: Annotated[int, Field(ge=0)] = 60
    """Maximum time for requests in flight after SIGTERM."""
    max_wait_seconds: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Maximum wait for an engine: a longer wait is refused, on arrival if it is predicted."""
    batch_ages_after_seconds: Annotated[float, Field(ge=0, le=3600)] = 5.0
    """Wait after which a request of priority ``batch`` is queued as if it were interactive."""
    max_replicas: Annotated[int, Field(ge=1)] = 1
    """Maximum replicas of the pool: without a shared store, each replica enforces its part of a limit."""
    playground: bool = False
    """Serves a page at `/` to try the voices from. Loading it needs no key; the requests that it sends do."""
    docs: bool = False
    """Serves a page at `/docs` that describes every route. It needs no key; neither does `/openapi.json`, always on."""

    @model_validator(mode="after")
    def _tenants_apart(self) -> Self:
        names = Counter(each.name for each in self.tenants)
        if names and self.role != "Member":
            raise ValueError("tenants: only a pool of role Member serves other tenants")
        if self.tenant in names:
            raise ValueError(f"tenants: {self.tenant} is this pool's own tenant, whose weight is the field weight")
        if twice := next((name for name, times in names.items() if times > 1), None):
            raise ValueError(f"tenants: {twice} is listed twice")
        return self

    @model_validator(mode="after")
    def _shared_with_tenants(self) -> Self:
        if (self.role == "Shared") != (self.tenants_directory is not None):
            raise ValueError("tenantsDirectory: a pool of role Shared needs it, and no other role has it")
        if self.role == "Shared" and AuthMode.NONE in self.auth.modes:
            raise ValueError("auth.modes: a credential tells the tenants of a shared pool apart: remove None")
        if self.role == "Shared" and self.auth.external is not None:
            raise ValueError("auth.external: a shared pool accepts only the keys of its tenants, and its own tokens")
        if self.role == "Shared" and self.storage.s3 is not None and not self.storage.s3.prefix.strip("/"):
            raise ValueError("storage.s3.prefix: a shared pool needs one of its own, as it deletes what expires there")
        return self

    def weight_of(self, tenant: str) -> float | None:
        """Return a tenant's weight; None for a tenant that this pool does not serve."""
        if tenant == self.tenant:
            return self.weight
        return next((each.weight for each in self.tenants if each.name == tenant), None)


class QuotaConfig(ConfigModel):
    """``quota.json``: limits of the tenant. Unset means unlimited."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Maximum requests in any 60 seconds."""
    requests_per_day: Annotated[int, Field(ge=1)] | None = None
    """Maximum requests per UTC day."""
    concurrent_requests: Annotated[int, Field(ge=1)] | None = None
    """Maximum concurrent requests, summed over all replicas."""
    audio_seconds_per_day: Annotated[int, Field(ge=1)] | None = None
    """Maximum seconds of audio sent per UTC day; cached audio is free."""
    characters_per_day: Annotated[int, Field(ge=1)] | None = None
    """Maximum characters spoken per UTC day, cached or not."""
    per_client_requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Maximum requests of one client in any 60 seconds. A client is an API key or token subject, else an IP address."""
    max_text_characters: Annotated[int, Field(ge=1)] = 4096
    """Maximum characters of one request's text."""


class Download(ConfigModel):
    """One file that `tts-server fetch-model` downloads."""

    path: Annotated[str, Field(min_length=1, max_length=256)]
    """Place of the file, relative to the directory for all of them."""
    url: Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+/\S*$"), AfterValidator(with_an_authority)]
    """Presigned URL of the file. It is a secret: whoever has it may read the file until it expires."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the file, in hexadecimal."""

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if path.startswith("/") or {"", ".", ".."}.intersection(path.split("/")):
            raise ValueError("must be relative, and stay inside the directory")
        return path


class Downloads(ConfigModel):
    """Content of `downloads.json`: the files of a model in an object store."""

    files: Annotated[tuple[Download, ...], Field(min_length=1)]
