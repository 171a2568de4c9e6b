"""Writes a small model with random weights in the Hugging Face layout, with another model's tokenizer, for check.py.

    python docs/interop/random_model.py llama|qwen2|qwen3|gpt2 runs/my-model DIR
"""

import json
import sys
from pathlib import Path
from shutil import copy

import torch
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM)

family, source, out = sys.argv[1:]
vocab_size = len(json.loads((Path(source) / "tokenizer.json").read_text())["model"]["vocab"])
shape = dict(vocab_size=vocab_size, hidden_size=96, intermediate_size=256, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=False, initializer_range=0.2)
made = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**shape)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**shape)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=24)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=vocab_size, n_embd=96, n_layer=3, n_head=6, n_positions=128,
                                               initializer_range=0.2, bos_token_id=0, eos_token_id=0)),
}
torch.manual_seed(7)
model = made[family]()
with torch.no_grad():  # biases and norms start as zeros and ones, which would hide a mistake
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.add_(torch.randn_like(parameter) * 0.1)
model.save_pretrained(out)
for name in ["tokenizer.json", "tokenizer_config.json"]:
    copy(Path(source) / name, out)
