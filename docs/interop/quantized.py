"""Compare siskin's logits of GGUF files with llama.cpp's, position by position.

    python docs/interop/quantized.py FILE.gguf... [--positions 64] [--siskin target/release/examples/logits]

Prints for each file the largest and the mean Kullback-Leibler divergence (nats) of siskin's probabilities from llama.cpp's,
the share of positions at which both think the same token the most probable, and, where they do not, how far apart the two
candidates are in llama.cpp's logits. Needs: pip install numpy llama-cpp-python.
"""
import argparse
import ctypes
import json
import subprocess

import llama_cpp as L
import numpy as np

p = argparse.ArgumentParser()
p.add_argument("files", nargs="+")
p.add_argument("--positions", type=int, default=64)
p.add_argument("--siskin", default="target/release/examples/logits")
a = p.parse_args()

L.llama_backend_init()
quiet = L.llama_log_callback(lambda level, text, data: None)
L.llama_log_set(quiet, ctypes.c_void_p())


def theirs(path, ids):
    """llama.cpp's logits at every position; keys and values in f16, its default."""
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    params = L.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = 1024, 1024, 512
    ctx = L.llama_init_from_model(model, params)
    batch = L.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i] = token, i
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        batch.logits[i] = True
    assert L.llama_decode(ctx, batch) == 0
    rows = [np.ctypeslib.as_array(L.llama_get_logits_ith(ctx, i), (n_vocab,)).copy() for i in range(len(ids))]
    L.llama_batch_free(batch)
    L.llama_free(ctx)
    L.llama_model_free(model)
    return np.stack(rows).astype(np.float64)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def vocabulary(path):
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    n = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    L.llama_model_free(model)
    return n


for path in a.files:
    n_vocab = vocabulary(path)
    ids = np.random.default_rng(0).integers(min(300, n_vocab // 2), n_vocab, a.positions).tolist()
    wanted = theirs(path, ids)
    out = subprocess.run([a.siskin, path, "0", *map(str, ids)], check=True, capture_output=True, text=True).stdout
    found = np.array(json.loads(out)["logits"])
    log_p, log_q = log_softmax(wanted), log_softmax(found)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    top, own = wanted.argmax(-1), found.argmax(-1)
    rows = np.flatnonzero(top != own)
    gaps = [float(wanted[r, top[r]] - wanted[r, own[r]]) for r in rows]
    same = f"same top token {100 * (1 - len(rows) / len(ids)):.1f} %"
    print(f"{path}: KL max {kl.max():.1e}, mean {kl.mean():.1e}; {same}; gaps where not {gaps}")
