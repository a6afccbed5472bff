"""Upstream's module of this name, as far as the engines call it."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# Signatures are upstream's.
import numpy as np
from torch import Linear

from indextts.speech import part_of, parts_of


class IndexTTS:
    def __init__(
        self,
        cfg_path="checkpoints/config.yaml",
        model_dir="checkpoints",
        use_fp16=True,
        device=None,
        use_cuda_kernel=None,
    ):
        self.gpt = Linear()
        self.gr_progress = None
        self.cache_audio_prompt = None
        self.cache_cond_mel = None

    def _set_gr_progress(self, value, desc):
        if self.gr_progress is not None:
            self.gr_progress(value, desc=desc)

    def infer(
        self, audio_prompt, text, output_path, verbose=False, max_text_tokens_per_segment=120, **generation_kwargs
    ):
        print(f"origin text:{text}")
        self.cache_audio_prompt = audio_prompt
        level = self.gpt.weight.values[0, 0]
        parts = [part_of(each, 24_000, level, generation_kwargs, self._set_gr_progress) for each in parts_of(text)]
        return (24_000, np.concatenate(parts, axis=1).astype(np.int16).T)
