"""Compares a model directory with what transformers and llama.cpp make of what siskin writes of it: see docs/interop.md.

    python docs/interop/check.py runs/my-model "A text to begin with" [another text ...]

The programs are taken from target/release (SISKIN_BIN names another folder).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from llama_cpp import Llama, llama_get_logits_ith
from transformers import AutoModelForCausalLM, AutoTokenizer

N_GREEDY = 48
BIN = Path(os.environ.get("SISKIN_BIN", "target/release"))
F32 = 0  # keys and values as they are computed, lest their rounding hide what is looked for


def run(*args):
    return subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def divergence(p_logits, q_logits):
    """Mean Kullback-Leibler divergence in nats a row."""
    def log_softmax(x):
        x = x.astype(np.float64) - x.max(-1, keepdims=True)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))
    p, q = log_softmax(p_logits), log_softmax(q_logits)
    return float((np.exp(p) * (p - q)).sum(-1).mean())


def llama_cpp(gguf, ids):
    """Logits after each id, and the ids that follow."""
    model = Llama(str(gguf), n_ctx=len(ids) + N_GREEDY + 8, logits_all=True, type_k=F32, type_v=F32, verbose=False)
    model.eval(ids)
    row = lambda i: np.ctypeslib.as_array(llama_get_logits_ith(model.ctx, i), (model.n_vocab(),)).copy()
    rows, greedy = np.array([row(i) for i in range(len(ids))]), []
    last = rows[-1]
    while len(greedy) < N_GREEDY:
        greedy.append(int(last.argmax()))
        model.eval(greedy[-1:])
        last = row(0)
    return rows, greedy


def transformers(network, ids):
    with torch.no_grad():
        rows, greedy = network(torch.tensor([ids])).logits[0].numpy(), []
        last = rows[-1]
        while len(greedy) < N_GREEDY:
            greedy.append(int(last.argmax()))
            last = network(torch.tensor([ids + greedy])).logits[0, -1].numpy()
    return rows, greedy


def siskin(hf, ids):
    found = json.loads(run(BIN / "examples/logits", hf, N_GREEDY, *ids))
    return np.array(found["logits"], dtype=np.float32), found["greedy"]


def compare(name, theirs, ours):
    (rows, greedy), (other, other_greedy) = theirs, ours
    n_same = next((i for i, (a, b) in enumerate(zip(greedy, other_greedy)) if a != b), N_GREEDY)
    print(f"  {name}: divergence {divergence(rows, other):.1e}, largest difference of logits {np.abs(rows - other).max():.1e} "
          f"(they span {np.ptp(rows):.0f}), same top {100 * (rows.argmax(-1) == other.argmax(-1)).mean():.0f} %, "
          f"{n_same} of {N_GREEDY} greedy tokens the same")


def main(model, *texts):
    folder = Path(tempfile.mkdtemp())
    hf, gguf = folder / "hf", folder / "model.gguf"
    run(BIN / "siskin", "export", model, "--to", "hf", hf)
    run(BIN / "siskin", "export", model, "--to", "gguf", gguf)
    tokenizer = AutoTokenizer.from_pretrained(hf)
    network = AutoModelForCausalLM.from_pretrained(hf, dtype=torch.float32).eval()
    vocabulary = Llama(str(gguf), vocab_only=True, verbose=False)
    print(f"{model}: {type(network).__name__}")
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        theirs = vocabulary.tokenize(text.encode(), add_bos=False, special=False)
        print(f" {text[:40]!r}: {len(ids)} ids, {'the same' if ids == theirs else 'OTHERS'} in llama.cpp")
        begun = vocabulary.tokenize(text.encode(), add_bos=True, special=False)
        reference = transformers(network, begun)
        compare("llama.cpp", reference, llama_cpp(gguf, begun))
        try:
            compare("siskin", reference, siskin(hf, begun))
        except subprocess.CalledProcessError:
            print("  siskin itself does not run this family yet")


main(*sys.argv[1:])
