"""Control over the thread in which CosyVoice generates speech tokens: it can be stopped, and its failures are known.

Upstream's `CosyVoiceModel.tts` starts `llm_job` in a thread, and polls a dictionary that the thread fills until
`llm_end_dict` says that it has ended. Upstream never ends the thread early: after a cancellation it would compete with
the next utterance. And a thread that fails never sets `llm_end_dict`: a stream would poll for ever. Both threads look
tokens up in that dictionary; here is one that raises instead.
"""

import threading
from collections.abc import Callable
from typing import Any

STATE = ("tts_speech_token_dict", "llm_end_dict", "mel_overlap_dict", "hift_cache_dict", "flow_cache_dict")
"""Attributes of upstream's model with one entry per utterance, which upstream removes only at a regular end."""


class Stopped(Exception):  # noqa: N818 - names what happened, as the tree in errors.py does
    """`TokenGeneration.stop` ended the utterance."""


class _Tokens(dict[str, list[int]]):
    """Tokens by utterance, as upstream has them. Every lookup fails once the utterance is stopped or has failed."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def __getitem__(self, key: str) -> list[int]:
        self._check()
        return super().__getitem__(key)


class TokenGeneration:
    """Replaces the token dictionary and `llm_job` of one of upstream's models, which speaks one utterance at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._llm_job = model.llm_job
        self._first_hop = getattr(model, "token_hop_len", None)
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._stopped = False
        self._failure: BaseException | None = None
        model.tts_speech_token_dict = _Tokens(self._check)
        model.llm_job = self._run

    def begin(self) -> None:
        """Forget how the last utterance ended."""
        self._stopped, self._failure = False, None
        if self._first_hop is not None:
            # CosyVoice 2 lengthens its parts as a stream goes on, and never returns to the first length: every later
            # utterance would wait four times as long for its first audio.
            self._model.token_hop_len = self._first_hop

    def stop(self) -> None:
        """End the utterance: its next token, and the next look at its tokens, raise `Stopped`. From any thread."""
        self._stopped = True

    def end(self) -> None:
        """End the utterance, wait for its thread, and drop what upstream keeps of it."""
        self._stopped = True
        with self._lock:  # a thread that begins only now finds no entry of its utterance
            self._model.llm_end_dict.clear()
        self._idle.wait()
        for name in STATE:
            getattr(self._model, name, {}).clear()

    def _check(self) -> None:
        if self._stopped:
            raise Stopped
        if self._failure is not None:
            raise self._failure

    def _run(self, *arguments: Any) -> None:
        """Upstream's `llm_job`; the name of the utterance is its last argument."""
        with self._lock:
            if arguments[-1] not in self._model.llm_end_dict:
                return
            self._idle.clear()
        try:
            self._llm_job(*arguments)
        except Stopped:
            pass
        except BaseException as error:
            self._failure = error
        finally:
            self._idle.set()
