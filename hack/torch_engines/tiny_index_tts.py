"""Writes a model directory of IndexTTS 1.5 with small random weights: `tiny_index_tts.py CHECKOUT DIRECTORY`.

It runs with the interpreter of the engine, and imports nothing of this project.
"""

import sys
from pathlib import Path

CONFIG = """
dataset:
    bpe_model: bpe.model
    sample_rate: 24000
    squeeze: false
    mel: {sample_rate: 24000, n_fft: 1024, hop_length: 256, win_length: 1024, n_mels: 100, mel_fmin: 0}
gpt:
    model_dim: 64
    max_mel_tokens: 200
    max_text_tokens: 200
    heads: 2
    use_mel_codes_as_input: true
    mel_length_compression: 1024
    layers: 2
    number_text_tokens: 200
    number_mel_codes: 66
    start_mel_token: 64
    stop_mel_token: 65
    start_text_token: 0
    stop_text_token: 1
    train_solo_embeddings: false
    condition_type: "conformer_perceiver"
    condition_module: {output_size: 64, linear_units: 64, attention_heads: 2, num_blocks: 1, input_layer: "conv2d2",
                       perceiver_mult: 2}
bigvgan:
    resblock: "1"
    upsample_rates: [4, 4, 4, 4, 2, 2]
    upsample_kernel_sizes: [8, 8, 4, 4, 4, 4]
    upsample_initial_channel: 128
    resblock_kernel_sizes: [3]
    resblock_dilation_sizes: [[1, 3, 5]]
    feat_upsample: false
    speaker_embedding_dim: 32
    cond_d_vector_in_each_upsampling_layer: true
    gpt_dim: 64
    num_mels: 100
    activation: "snakebeta"
    snake_logscale: true
version: 1.5
gpt_checkpoint: gpt.pth
bigvgan_checkpoint: bigvgan_generator.pth
"""
SENTENCES = (
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG.", "ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE TEN, YES!",
    "HELLO WORLD? IT'S A TEST - OF ALL LETTERS.",
)  # fmt: skip


def main(checkout: Path, directory: Path) -> None:
    """Write all files that upstream's class reads."""
    import sentencepiece
    import torch
    from omegaconf import OmegaConf

    sys.path.insert(0, str(checkout))
    from indextts.BigVGAN.models import BigVGAN
    from indextts.gpt.model import UnifiedVoice

    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.yaml").write_text(CONFIG, "utf-8")
    words = directory / "words.txt"
    words.write_text("\n".join(SENTENCES * 50), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(words), model_prefix=str(directory / "bpe"), vocab_size=110, model_type="bpe",
        hard_vocab_limit=False, bos_id=0, eos_id=1, unk_id=2, minloglevel=2,
    )  # fmt: skip
    config = OmegaConf.load(directory / "config.yaml")
    torch.manual_seed(0)
    torch.save(UnifiedVoice(**config.gpt).state_dict(), directory / "gpt.pth")
    torch.save({"generator": BigVGAN(config.bigvgan).state_dict()}, directory / "bigvgan_generator.pth")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
