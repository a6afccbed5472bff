"""Upstream's module of this name: tokens are computed in a thread, and one looks for them in a dictionary."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# Signatures are upstream's.
import threading
import time
import uuid

import numpy as np
from failures import fail_as_named
from torch import Linear

TOKEN_SAMPLES = 1200


class CosyVoiceModel:
    def __init__(self, llm, flow, hift, fp16=False):
        self.llm = llm
        self.lock = threading.Lock()
        self.tts_speech_token_dict = {}
        self.llm_end_dict = {}
        self.mel_overlap_dict = {}
        self.flow_cache_dict = {}
        self.hift_cache_dict = {}

    def llm_job(self, text, prompt_text, llm_prompt_speech_token, llm_embedding, uuid):
        fail_as_named(text)
        for character in text * (100_000 if text == "stall" else 1):
            self.tts_speech_token_dict[uuid].append(ord(character))
            if text == "stall":
                time.sleep(0.01)
        self.llm_end_dict[uuid] = True

    def token2wav(self, tokens, speed=1.0):
        seconds = np.arange(int(TOKEN_SAMPLES / speed)) / 24_000
        level = self.llm.weight.values[0, 0]
        parts = [level * np.sin(2 * np.pi * (200 + token % 600) * seconds) for token in tokens]
        return np.concatenate([*parts, np.zeros(0)]).astype(np.float32)[np.newaxis]

    def tts(
        self,
        text="",
        flow_embedding=None,
        llm_embedding=None,
        prompt_text=None,
        llm_prompt_speech_token=None,
        flow_prompt_speech_token=None,
        prompt_speech_feat=None,
        source_speech_token=None,
        stream=False,
        speed=1.0,
        **kwargs,
    ):
        this_uuid = str(uuid.uuid1())
        with self.lock:
            self.tts_speech_token_dict[this_uuid], self.llm_end_dict[this_uuid] = [], False
            self.hift_cache_dict[this_uuid] = None
        p = threading.Thread(
            target=self.llm_job, args=(text, prompt_text, llm_prompt_speech_token, llm_embedding, this_uuid)
        )
        p.start()
        start = 0
        while stream:
            time.sleep(0.001)
            if len(self.tts_speech_token_dict[this_uuid]) - start >= self.hop():
                yield {"tts_speech": self.token2wav(self.tts_speech_token_dict[this_uuid][start : start + self.hop()])}
                start += self.hop()
            if self.llm_end_dict[this_uuid] and len(self.tts_speech_token_dict[this_uuid]) - start < self.hop():
                break
        p.join()
        rest = self.token2wav(self.tts_speech_token_dict[this_uuid][start:], speed)
        yield {"tts_speech": rest * np.nan if text == "nan" else rest}
        self.tts_speech_token_dict.pop(this_uuid)
        self.llm_end_dict.pop(this_uuid)

    def hop(self):
        return 10


class CosyVoice2Model(CosyVoiceModel):
    def __init__(self, llm, flow, hift, fp16=False):
        super().__init__(llm, flow, hift, fp16)
        self.token_hop_len = 10

    def hop(self):
        return self.token_hop_len


def new_model(kind):
    return kind(Linear(), None, None)
