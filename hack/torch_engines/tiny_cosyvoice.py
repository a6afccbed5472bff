"""Writes a model directory of CosyVoice with small random weights: `tiny_cosyvoice.py CHECKOUT VERSION DIRECTORY`.

It runs with the interpreter of the engine, and imports nothing of this project. The configuration is the one that the
checkout trains with, its sizes reduced; the two ONNX graphs compute something of the right shape.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

EXAMPLES = {1: "cosyvoice", 2: "cosyvoice2", 3: "cosyvoice3"}
SIZES = {
    r"\b(text_encoder_input_size|llm_input_size|llm_output_size|dim): \d+": r"\1: 64",
    r"\b(input_size|output_size): (512|1024)": r"\1: 64",
    r"linear_units: \d+": "linear_units: 64",
    r"(attention_heads|num_heads|heads): \d+": r"\1: 2",
    r"num_blocks: \d+": "num_blocks: 1",
    r"(attention_head_dim|dim_head): \d+": r"\1: 32",
    r"n_blocks: 4": "n_blocks: 1",
    r"num_mid_blocks: \d+": "num_mid_blocks: 1",
    r"depth: \d+": "depth: 1",
    r"base_channels: \d+": "base_channels: 32",
    r"cond_channels: \d+": "cond_channels: 16",
    r"channels: 1024": "channels: 64",
}
FIRST_SPECIAL_TOKEN = 151_643
"""Number of ordinary tokens of Qwen 2: CosyVoice 3 looks for `<|endofprompt|>` by its number."""


def main(checkout: Path, version: int, directory: Path) -> None:
    """Write all files that upstream's class reads."""
    import torch
    from hyperpyyaml import load_hyperpyyaml

    sys.path[:0] = [str(checkout), str(checkout / "third_party/Matcha-TTS")]
    directory.mkdir(parents=True, exist_ok=True)
    example = EXAMPLES[version]
    text = (checkout / f"examples/libritts/{example}/conf/{example}.yaml").read_text("utf-8")
    text = text.partition("# train conf")[0].partition("# llm flow train conf")[0]
    for pattern, replacement in SIZES.items():
        text = re.sub(pattern, replacement, text)
    file = directory / f"cosyvoice{'' if version == 1 else version}.yaml"
    file.write_text(text, "utf-8")
    overrides: dict[str, Any] = {}
    if version > 1:
        write_qwen(directory / "CosyVoice-BlankEN")
        overrides["qwen_pretrain_path"] = str(directory / "CosyVoice-BlankEN")
    torch.manual_seed(0)
    with file.open() as source:
        parts = load_hyperpyyaml(source, overrides=overrides)
    for name in ("llm", "flow", "hift"):
        torch.save(parts[name].state_dict(), directory / f"{name}.pt")
    write_graphs(directory, version)
    if version == 1:  # as the model -300M-SFT; later models have recordings only
        speakers = {name: {"embedding": torch.randn(1, 192)} for name in ("中文女", "英文女")}
        torch.save(speakers, directory / "spk2info.pt")


def write_qwen(directory: Path) -> None:
    """Write a language model of two layers, and a tokenizer of single bytes with Qwen's numbers."""
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.models.gpt2.tokenization_gpt2 import bytes_to_unicode

    directory.mkdir(exist_ok=True)
    config = Qwen2Config(
        vocab_size=151_936, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(directory)
    characters = list(bytes_to_unicode().values())
    unused = [f"unused{number}" for number in range(FIRST_SPECIAL_TOKEN - len(characters))]
    vocabulary = {token: number for number, token in enumerate([*characters, *unused])}
    (directory / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (directory / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    special = {
        str(FIRST_SPECIAL_TOKEN + number): {"content": content, "special": True, "lstrip": False, "rstrip": False,
                                            "normalized": False, "single_word": False}
        for number, content in enumerate(("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
    }  # fmt: skip
    tokenizer = {
        "tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": special, "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "bos_token": None, "model_max_length": 32_768,
    }  # fmt: skip
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer), "utf-8")


def write_graphs(directory: Path, version: int) -> None:
    """Write a speaker embedding of 192 numbers, and a tokenizer of speech with 25 (version 1: 50) tokens a second."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    def saved(name: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> None:
        initial = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
        graph = helper.make_graph(nodes, name, inputs, outputs, initial)
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), directory / name)

    random = np.random.default_rng(0)
    saved(
        "campplus.onnx",
        [
            helper.make_node("ReduceMean", ["feats"], ["mean"], axes=[1], keepdims=0),
            helper.make_node("MatMul", ["mean", "weight"], ["embedding"]),
        ],
        [helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, "frames", 80])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, 192])],
        {"weight": random.standard_normal((80, 192)).astype(np.float32)},
    )
    step = 2 if version == 1 else 4
    saved(
        f"speech_tokenizer_v{version}.onnx",
        [
            helper.make_node("Slice", ["feats", "starts", "ends", "axes", "steps"], ["some"]),
            helper.make_node("ReduceMean", ["some"], ["level"], axes=[1], keepdims=0),
            helper.make_node("Mul", ["level", "hundred"], ["scaled"]),
            helper.make_node("Abs", ["scaled"], ["positive"]),
            helper.make_node("Cast", ["positive"], ["ids"], to=TensorProto.INT32),
            helper.make_node("Mod", ["ids", "count"], ["tokens"]),
            helper.make_node("Identity", ["length"], ["same"]),
        ],
        [
            helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "frames"]),
            helper.make_tensor_value_info("length", TensorProto.INT32, [1]),
        ],
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT32, [1, "tokens"]),
            helper.make_tensor_value_info("same", TensorProto.INT32, [1]),
        ],
        {
            "starts": np.array([0]), "ends": np.array([2**31]), "axes": np.array([2]), "steps": np.array([step]),
            "hundred": np.float32(100), "count": np.int32(4000),
        },
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
