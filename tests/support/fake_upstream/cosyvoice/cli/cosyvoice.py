"""Upstream's module of this name, as far as the engines call it."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call"
# Signatures are upstream's.
from pathlib import Path

from cosyvoice.cli.model import CosyVoice2Model, CosyVoiceModel, new_model


class FrontEnd:
    def __init__(self, names):
        self.spk2info = {name: {"embedding": name} for name in names}

    def text_normalize(self, text):
        return [text] if any(character.isascii() or character.isalpha() for character in text) else []


class CosyVoice:
    def __init__(self, model_dir, load_jit=False, load_trt=False, fp16=False, trt_concurrent=1):
        self.model_dir = model_dir
        self.fp16 = fp16
        self.sample_rate = 24_000
        self.model = new_model(CosyVoiceModel)
        speakers = Path(model_dir, "spk2info.pt")
        self.frontend = FrontEnd(speakers.read_text("utf-8").split() if speakers.exists() else [])

    def list_available_spks(self):
        return list(self.frontend.spk2info)

    def add_zero_shot_spk(self, prompt_text, prompt_wav, zero_shot_spk_id):
        if Path(prompt_wav).read_bytes()[:4] != b"RIFF":
            raise RuntimeError("Error opening file")
        self.frontend.spk2info[zero_shot_spk_id] = {"prompt_text": prompt_text}
        return True

    def inference_sft(self, tts_text, spk_id, stream=False, speed=1.0, text_frontend=True):
        assert "embedding" in self.frontend.spk2info[spk_id]
        for i in self.frontend.text_normalize(tts_text):
            yield from self.model.tts(i, stream=stream, speed=speed)

    def inference_zero_shot(
        self, tts_text, prompt_text, prompt_wav, zero_shot_spk_id="", stream=False, speed=1.0, text_frontend=True
    ):
        assert self.frontend.spk2info[zero_shot_spk_id]["prompt_text"]
        for i in self.frontend.text_normalize(tts_text):
            yield from self.model.tts(i, stream=stream, speed=speed)

    def inference_cross_lingual(
        self, tts_text, prompt_wav, zero_shot_spk_id="", stream=False, speed=1.0, text_frontend=True
    ):
        assert zero_shot_spk_id in self.frontend.spk2info
        yield from self.model.tts(tts_text, stream=stream, speed=speed)


class CosyVoice2(CosyVoice):
    def __init__(self, model_dir, load_jit=False, load_trt=False, load_vllm=False, fp16=False, trt_concurrent=1):
        super().__init__(model_dir, load_jit, load_trt, fp16, trt_concurrent)
        self.model = new_model(CosyVoice2Model)

    def inference_instruct2(
        self, tts_text, instruct_text, prompt_wav, zero_shot_spk_id="", stream=False, speed=1.0, text_frontend=True
    ):
        assert self.frontend.spk2info[zero_shot_spk_id]["prompt_text"].endswith("<|endofprompt|>")
        yield from self.model.tts(tts_text, stream=stream, speed=speed)


class CosyVoice3(CosyVoice2):
    def __init__(self, model_dir, load_trt=False, load_vllm=False, fp16=False, trt_concurrent=1):
        super().__init__(model_dir, False, load_trt, load_vllm, fp16, trt_concurrent)
