"""The command `tts-server check-engine`."""

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

NAME = "check-engine"


def parser() -> argparse.ArgumentParser:
    """Parser of the flags; docs/reference/tts-server.md lists them, too."""
    root = argparse.ArgumentParser(
        prog=f"tts-server {NAME}",
        description=(
            "Ask a speech server with OpenAI's API what it can, and print the TTSModel to write. Exit code: 0 if it can"
            " stand behind a TTSModel, 1 if not, 2 for a wrong flag."
        ),
    )
    root.add_argument("url", metavar="URL", help="URL of the server, without /v1: http://kokoro.speech.svc:8880")
    root.add_argument(
        "--path-prefix",
        default="/v1",
        metavar="PATH",
        help="Path before /audio/speech; empty for none. (default: %(default)s)",
    )
    root.add_argument(
        "--api-key-file", type=Path, metavar="FILE", help="File with the server's API key. Default: none."
    )
    root.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="CA certificates (PEM) trusted for https. Default: the system's.",
    )
    root.add_argument(
        "--model", default="", help="Model to ask for. Default: the first that the server lists, or tts-1."
    )
    root.add_argument(
        "--voice", default="", help="Voice to ask for. Default: the first that the server lists, or alloy."
    )
    root.add_argument(
        "--text", default="", help="Short text to synthesize, in the voice's language. Default: an English sentence."
    )
    root.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="Longest wait for one answer. (default: %(default)s)",
    )
    root.add_argument(
        "--budget",
        type=_seconds,
        default=180.0,
        metavar="SECONDS",
        help="Longest check; a note names what was not asked then. (default: %(default)s)",
    )
    root.add_argument(
        "--at-once",
        type=_count,
        default=4,
        metavar="N",
        help="Number of requests to send at the same time. (default: %(default)s)",
    )
    root.add_argument(
        "-o",
        "--output",
        choices=["text", "json", "yaml"],
        default="text",
        help="Output format: text has findings and TTSModel, json the same for programs, yaml the TTSModel alone."
        " (default: %(default)s)",
    )
    return root


def main(arguments: Sequence[str]) -> int:
    """Check, and print. Returns the exit code; argparse exits with 2 for a wrong flag."""
    options = parser().parse_args(arguments)
    if not options.url.startswith(("http://", "https://")):
        parser().error(f"argument URL: must begin with http:// or https://, not {options.url!r}")

    import yaml

    from tts_server.engine_check.findings import LOOPBACK_NOTE, is_this_machine, snippet
    from tts_server.engine_check.probes import LONG, SHORT, Question, check
    from tts_server.engine_check.text_report import text_report

    url = options.url.rstrip("/")
    if url.endswith("/v1"):  # as many servers' pages write it
        url = url.removesuffix("/v1")
        sys.stderr.write(f"tts-server {NAME}: the URL ends with /v1, which every path begins with: {url} is checked.\n")
    question = Question(
        url=url,
        path_prefix=options.path_prefix.rstrip("/"),
        api_key_file=options.api_key_file,
        ca_file=options.ca_file,
        model=options.model,
        voice=options.voice,
        text=options.text or SHORT,
        long_text=" ".join([options.text] * 12) if options.text else LONG,
        timeout_seconds=options.timeout,
        budget_seconds=options.budget,
        at_once=options.at_once,
        on_question=_tell,
    )
    try:
        findings = asyncio.run(check(question))
    except OSError as error:
        print(f"tts-server {NAME}: {options.ca_file}: {error.strerror or error}", file=sys.stderr)
        return 1
    model = None if findings.problem else snippet(findings)
    if options.output == "json":
        stream = {"streamed": findings.stream.is_streamed} if findings.stream else {}
        document = {"usable": not findings.problem, **dataclasses.asdict(findings), **stream, "ttsModel": model}
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif options.output == "text":
        print(text_report(findings), end="")
    elif model is not None:
        print(yaml.safe_dump(model, sort_keys=False, allow_unicode=True), end="")
    if model is not None and options.output == "yaml" and is_this_machine(url):
        print(f"tts-server {NAME}: {LOOPBACK_NOTE}.", file=sys.stderr)
    if findings.problem and options.output == "yaml":
        print(f"tts-server {NAME}: cannot be used: {findings.problem}", file=sys.stderr)
    return 1 if findings.problem else 0


def _tell(phrase: str) -> None:
    print(f"tts-server {NAME}: asks about {phrase} ...", file=sys.stderr, flush=True)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"must be a number of seconds up to 3600, not {text!r}")
    return seconds


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 64, not {text!r}")
    return int(text)
