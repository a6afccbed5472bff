"""Upstream's module of this name, as far as the engines call it."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# Signatures are upstream's.
import numpy as np
from torch import Linear

from indextts.speech import part_of, parts_of


class IndexTTS2:
    def __init__(
        self,
        cfg_path="checkpoints/config.yaml",
        model_dir="checkpoints",
        use_bf16=False,
        device=None,
        use_cuda_kernel=None,
        use_deepspeed=False,
        use_accel=False,
        use_torch_compile=False,
        use_qwen_emo=False,
    ):
        self.gpt = Linear()
        self.gr_progress = None
        self.cache_spk_audio_prompt = None

    def _set_gr_progress(self, value, desc):
        if self.gr_progress is not None:
            self.gr_progress(value, desc=desc)

    def infer(
        self,
        spk_audio_prompt,
        text,
        output_path,
        lang,
        emo_audio_prompt=None,
        emo_alpha=1.0,
        emo_vector=None,
        use_emo_text=False,
        emo_text=None,
        use_random=False,
        interval_silence=200,
        verbose=False,
        max_text_tokens_per_segment=120,
        stream_return=False,
        more_segment_before=0,
        duration_factor=1.0,
        text_normalization=True,
        **generation_kwargs,
    ):
        assert lang in {"zh", "en", "ja"}
        self.cache_spk_audio_prompt = spk_audio_prompt
        for each in parts_of(text):
            rate = 22_050 * duration_factor
            yield part_of(each, rate, self.gpt.weight.values[0, 0], generation_kwargs, self._set_gr_progress)
            yield np.zeros((1, int(22_050 * interval_silence / 1000)))
