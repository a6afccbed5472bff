"""Findings as lines for people. Pure."""

import yaml

from tts_server.engine_check.findings import Findings, snippet


def text_report(findings: Findings) -> str:
    """Return what was found, what to think of it, and the TTSModel to write."""
    lines = [f"{findings.url}{findings.path_prefix}", ""]
    lines += [f"{name:<16}{value}" for name, value in _rows(findings)]
    if findings.problem:
        return "\n".join([*lines, "", f"Cannot be used: {findings.problem}."]) + "\n"
    lines += ["", *(f"Note: {note}." for note in findings.notes)] if findings.notes else []
    lines += ["", "TTSModel to write; check its languages, voices and resources:", ""]
    return "\n".join(lines) + "\n" + yaml.safe_dump(snippet(findings), sort_keys=False, allow_unicode=True)


def _rows(findings: Findings) -> list[tuple[str, str]]:
    rows = [("model", findings.model or "-"), ("voice", findings.voice or "-")]
    rows += [("models", _listed(findings.models)), ("voices", _listed(findings.voices))]
    for name, found in findings.formats.items():
        details = [found.outcome, found.found, f"{found.rate_hz} Hz" if found.rate_hz else "", found.content_type]
        details += [f"status {found.status}" if found.status else ""]
        rows.append((name, ", ".join(detail for detail in details if detail)))
    if findings.first_audio_seconds:
        rows.append(("first audio", f"{findings.first_audio_seconds * 1000:.0f} ms, one request after the other"))
    if (stream := findings.stream) is not None:
        way = "streamed" if stream.is_streamed else "whole"
        rows.append(
            (
                "long text",
                f"{way}: first audio after {stream.first_audio_seconds:.2f} s, all {stream.audio_seconds:.1f} s of"
                f" audio after {stream.seconds:.2f} s in {stream.parts} parts",
            )
        )
    reason = f", {findings.cancel_reason}" if findings.cancel == "unknown" else ""
    rows += [("speed", findings.speed), ("cancel", findings.cancel + reason)]
    if findings.at_once:
        rows.append(
            ("at once", f"{findings.spoken_at_once} of {findings.at_once} spoken, in parallel {findings.parallel:g}")
        )
    for name, error in findings.errors.items():
        shape = f", {error.shape}" if error.shape else ""
        rows.append((name, f"{error.outcome}, status {error.status}{shape}"))
    if findings.key_needed is not None:
        rows.append(("without the key", "refused" if findings.key_needed else "accepted"))
    return rows


def _listed(names: list[str]) -> str:
    if not names:
        return "not listed"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
