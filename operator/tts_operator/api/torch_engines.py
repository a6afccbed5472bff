"""Options of the engines CosyVoice and IndexTTS, whose code and weights are in the model's source."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tts_operator.api.base import APIModel, RelativePath, VoiceName, atomic, cel, list_map

PromptText = Annotated[str, StringConstraints(max_length=1024)]
Percent = Annotated[int, Field(ge=0, le=100)]


class CosyVoicePrompt(APIModel):
    """Recording whose voice CosyVoice imitates. With neither text nor instruction only the voice is taken from it."""

    voice: VoiceName
    """Name of the voice."""
    wav: RelativePath
    """Path in the source: a WAV file of at most 30 s, at 16,000 Hz or more."""
    text: PromptText = ""
    """Words of the recording: the voice then also speaks in its manner."""
    instruction: PromptText = ""
    """Manner to speak in, in plain words. CosyVoice 2 and 3 only; `text` is not used then."""


class CosyVoiceEngine(APIModel):
    """Options of engine CosyVoice."""

    model_path: RelativePath = "."
    """Folder of the weights in the source."""
    code_path: RelativePath | None = None
    """Checkout of CosyVoice in the source, with its submodules. Default: the image contains the code."""
    load_jit: bool = False
    """Uses the compiled modules (`*.zip`) of the weights. CosyVoice 1 and 2, with a GPU."""
    load_trt: bool = False
    """Uses TensorRT for the flow decoder; the source must contain a plan for the GPU."""
    stream: bool = True
    """Yields audio while a sentence is computed. Requests with another speed than 1 get each sentence as a whole."""
    prompts: Annotated[tuple[CosyVoicePrompt, ...], Field(max_length=64), list_map("voice")] = ()
    """Recordings, besides the speakers of the weights."""


class IndexTTSPrompt(APIModel):
    """Recording whose voice IndexTTS imitates. The emotion is that of the recording, unless a field says otherwise."""

    model_config = cel(
        ("!has(self.emotionWav) || !has(self.emotionPercent)", "set either emotionWav or emotionPercent"),
    )

    voice: VoiceName
    """Name of the voice."""
    wav: RelativePath
    """Path in the source: an audio file, whose first 15 s are used."""
    emotion_wav: RelativePath | None = None
    """Path in the source: a recording of the emotion. IndexTTS 2 and later, as the next two fields."""
    emotion_percent: Annotated[tuple[Percent, ...], Field(min_length=8, max_length=8), atomic()] | None = None
    """Strengths, in percent, of happy, angry, sad, afraid, disgusted, melancholic, surprised and calm."""
    emotion_weight_percent: Percent = 100
    """Weight of the emotion, in percent."""


class IndexTTSEngine(APIModel):
    """Options of engine IndexTTS."""

    model_path: RelativePath = "."
    """Folder of the weights in the source."""
    code_path: RelativePath | None = None
    """Checkout of IndexTTS in the source. Default: the image contains the code."""
    prompts: Annotated[tuple[IndexTTSPrompt, ...], Field(min_length=1, max_length=64), list_map("voice")]
    """Recordings: IndexTTS has no other voices."""
