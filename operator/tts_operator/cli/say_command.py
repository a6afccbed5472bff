"""`kubectl tts say TENANT TEXT`: speaks with a tenant's endpoint, from wherever kubectl works."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tts_operator.cli.api_keys import APIKey
from tts_operator.cli.arguments import number
from tts_operator.cli.command import Answer, CommandError, ExitStatus
from tts_operator.cli.common_flags import add_tenant_flags
from tts_operator.cli.keys_secret import add_key, remove_key, secret_of_tenant
from tts_operator.cli.speech_request import RefusedError, Speech, Spoken, speak
from tts_operator.fleet.kubectl import Kubectl
from tts_operator.fleet.port_forward import port_forward
from tts_operator.fleet.tenant_view import TenantView
from tts_operator.objects.names import keys_secret_name

SERVICE_PORT = 80
"""Port of a tenant's Service."""
FORMATS = ("mp3", "wav", "opus", "flac", "aac", "pcm")
KEY_VARIABLE = "TTS_API_KEY"
STDOUT = "-"
NOT_KNOWN_YET = frozenset({"invalid_api_key", "too_many_failures"})
"""Codes of replies to a key that a pod has not read yet."""
KEY_SECONDS = 90.0
"""Longest time until pods know a new key: the operator reads twenty Secrets a second."""
RETRY_SECONDS = 3.0
PLAYERS: Mapping[str, tuple[str, ...]] = {
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error"),
    "mpv": ("--really-quiet", "--no-video"),
    "afplay": (),
    "paplay": (),
    "play": ("-q",),
    "aplay": ("-q",),
}
"""Programs that play a file, with their flags; the first that is installed is used."""
WAV_ONLY = frozenset({"aplay", "paplay"})


def add_flags(command: argparse.ArgumentParser) -> None:
    add_tenant_flags(command)
    command.add_argument("text", metavar="TEXT", help="Text to speak; - reads standard input.")
    command.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="File for the audio; - writes to standard output. (default: TENANT.FORMAT; with --play: none)",
    )
    command.add_argument("--play", action="store_true", help=f"Play the audio, by one of {', '.join(PLAYERS)}.")
    command.add_argument(
        "--format", choices=FORMATS, help="Audio format. (default: that of --output's name, else mp3; with --play wav)"
    )
    command.add_argument("--voice", metavar="NAME", help="Voice. (default: the tenant's routing decides)")
    command.add_argument("--model", metavar="NAME", help="Model. (default: the tenant's routing decides)")
    command.add_argument("--language", metavar="TAG", help="Language of the text, such as de.")
    command.add_argument("--speed", type=number(0.25, 4), default=1.0, metavar="N", help="Speed. (default: 1)")
    key = command.add_mutually_exclusive_group()
    key.add_argument("--key", metavar="KEY", help=f"API key or access token. (default: {KEY_VARIABLE})")
    key.add_argument(
        "--temporary-key",
        action="store_true",
        help="Make an API key for this request, and revoke it after. It needs the right to write the tenant's Secret.",
    )
    command.add_argument(
        "--url", metavar="URL", help="Address of the endpoint, where it can be reached without kubectl port-forward."
    )
    command.add_argument(
        "--timeout", type=number(1, 3600), default=60.0, metavar="SECONDS", help="Longest silence. (default: 60)"
    )


def run(options: argparse.Namespace) -> Answer:
    """Speak, then say what arrived."""
    format_ = format_of(options.format, options.output, play=options.play)
    player = player_for(format_) if options.play else None
    text = sys.stdin.read() if options.text == STDOUT else options.text
    if not text.strip():
        raise CommandError("the text is empty")
    kubectl = Kubectl.of(options)
    tenant = TenantView(kubectl.tenant(options.tenant, options.namespace))
    key = options.key or os.environ.get(KEY_VARIABLE) or None
    check(tenant, has_key=bool(key) or options.temporary_key, forwards=options.url is None)
    speech = Speech(text, format_, options.voice, options.model, options.language, options.speed)
    with _endpoint(kubectl, tenant, options.url) as url, _audio_file(options, tenant, format_) as (write, file):
        if options.temporary_key:
            spoken = _with_temporary_key(kubectl, tenant, lambda made: speak(url, speech, made, write, options.timeout))
        else:
            spoken = speak(url, speech, key, write, options.timeout)
        if player is not None and file is not None:
            _play(player, file)
    return Answer((), (told(spoken, options.output or (None if options.play else str(file)), format_),))


def format_of(wanted: str | None, output: str | None, *, play: bool) -> str:
    """Format of the audio: as asked for, else by the name of the file."""
    if wanted is not None:
        return wanted
    ending = Path(output).suffix.lstrip(".").lower() if output else ""
    if ending in FORMATS:
        return ending
    if ending and output != STDOUT:
        raise CommandError(f"-o {output}: no format has this ending; use {', '.join(FORMATS)}, or --format")
    return "wav" if play else "mp3"


def check(tenant: TenantView, *, has_key: bool, forwards: bool) -> None:
    """Refuse, before anything is sent, what cannot work. Raises CommandError with what to do."""
    name, namespace = tenant.name, tenant.namespace
    modes = (tenant.spec.get("auth") or {}).get("modes") or ["APIKey"]
    if not has_key and "None" not in modes:
        secret = ((tenant.spec.get("auth") or {}).get("apiKeysSecretRef") or {}).get("name") or keys_secret_name(name)
        raise CommandError(
            f"{name} asks for an API key, and its Secret {secret} has only hashes, from which no key can be read: set"
            f" {KEY_VARIABLE} or --key, or use --temporary-key; kubectl tts keys create {name} -n {namespace} makes one"
        )
    if not forwards:
        return
    if tenant.is_suspended:
        raise CommandError(
            f"{name} is suspended and has no replicas; kubectl tts resume {name} -n {namespace} brings them back",
            status=ExitStatus.TRY_LATER,
        )
    if tenant.pools and not int(tenant.pools[0].get("ready") or 0):
        waker = tenant.status.get("waker") or {}
        if waker.get("atZero"):
            wakes = f"; it has some again at {waker['wakesAt']}" if waker.get("wakesAt") else ""
            raise CommandError(
                f"the schedule of {name} has no replicas now{wakes}; kubectl tts override {name} -n {namespace} --min 1"
                " --for 1h starts one",
                status=ExitStatus.TRY_LATER,
            )
        raise CommandError(
            f"{name} has no ready replica; kubectl tts why {name} -n {namespace} tells the reason",
            status=ExitStatus.TRY_LATER,
        )


def told(spoken: Spoken, file: str | None, format_: str) -> str:
    """Sentence about what arrived."""
    where = f" in {file}" if file not in (None, STDOUT) else ""
    return (
        f"{spoken.size_bytes:,} bytes of {format_}{where}; first byte after {spoken.first_byte_seconds:.2f} s, all"
        f" after {spoken.total_seconds:.2f} s"
    )


def player_for(format_: str) -> list[str]:
    """Command that plays a file of this format. Raises CommandError if none is installed."""
    for name, flags in PLAYERS.items():
        if (program := shutil.which(name)) and (format_ == "wav" or name not in WAV_ONLY):
            return [program, *flags]
    raise CommandError(f"no program that plays {format_} is installed: install one of {', '.join(PLAYERS)}, or use -o")


@contextmanager
def _endpoint(kubectl: Kubectl, tenant: TenantView, url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with port_forward(kubectl, tenant.namespace, tenant.name, SERVICE_PORT) as forwarded:
        yield forwarded


@contextmanager
def _audio_file(
    options: argparse.Namespace, tenant: TenantView, format_: str
) -> Iterator[tuple[Callable[[bytes], object], Path | None]]:
    """Open the place of the audio. A file appears under its name once it is whole."""
    if options.output == STDOUT:
        yield sys.stdout.buffer.write, None
        return
    if options.output is None and options.play:
        with tempfile.NamedTemporaryFile(prefix="kubectl-tts-", suffix=f".{format_}") as file:
            yield _flushed(file.write, file.flush), Path(file.name)
        return
    target = Path(options.output or f"{tenant.name}.{format_}")
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
            yield _flushed(file.write, file.flush), draft if options.play else target
        draft.replace(target)
    except OSError as error:
        raise CommandError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def _flushed(write: Callable[[bytes], object], flush: Callable[[], object]) -> Callable[[bytes], object]:
    def both(part: bytes) -> None:
        write(part)
        flush()

    return both


def _play(player: list[str], file: Path) -> None:
    try:
        subprocess.run([*player, str(file)], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise CommandError(f"{player[0]}: {error.stderr.decode(errors='replace').strip()}") from None


def _with_temporary_key(kubectl: Kubectl, tenant: TenantView, send: Callable[[str], Spoken]) -> Spoken:
    """Make a key, speak with it as soon as pods know it, and revoke it."""
    within = kubectl.within(tenant.namespace)
    secret = secret_of_tenant(within, tenant.name, tenant.namespace)
    key = APIKey.new()
    add_key(within, secret, key)
    deadline = time.monotonic() + KEY_SECONDS
    try:
        while True:
            try:
                return send(key.secret)
            except RefusedError as error:
                if error.code not in NOT_KNOWN_YET or time.monotonic() > deadline:
                    raise
            time.sleep(RETRY_SECONDS)  # each failure counts for the address of the port-forward
    finally:
        remove_key(within, secret, key.name)
