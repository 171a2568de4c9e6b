"""A model's perplexity of a text by llama.cpp, counted as `siskin eval FILE.gguf TEXT --window N` counts it.

    python docs/interop/perplexity.py FILE.gguf TEXT [--window 512] [--end-id ID]

Documents end at lines <|endoftext|>; before each stands the token that ends a text (ID; the file's end of text, if not given),
which is predicted and paid for. Windows of N tokens follow each other, do not overlap, and begin with an empty cache.
llama.cpp tokenizes the text itself. Needs: pip install numpy llama-cpp-python.
"""
import argparse
import ctypes
import math

import llama_cpp as L
import numpy as np

p = argparse.ArgumentParser()
p.add_argument("model")
p.add_argument("text")
p.add_argument("--window", type=int, default=512)
p.add_argument("--end-id", type=int)
p.add_argument("--threads", type=int, default=2)
a = p.parse_args()

L.llama_backend_init()
quiet = L.llama_log_callback(lambda level, text, data: None)
L.llama_log_set(quiet, ctypes.c_void_p())
model = L.llama_model_load_from_file(a.model.encode(), L.llama_model_default_params())
vocab = L.llama_model_get_vocab(model)
n_vocab = L.llama_vocab_n_tokens(vocab)
params = L.llama_context_default_params()
params.n_ctx = params.n_batch = params.n_ubatch = a.window
params.n_threads = params.n_threads_batch = a.threads
context = L.llama_init_from_model(model, params)


def tokens(text):
    data = text.encode()
    room = (L.llama_token * (len(data) + 8))()
    n = L.llama_tokenize(vocab, data, len(data), room, len(room), False, False)
    assert n >= 0, "the text does not fit its own length in tokens"
    return list(room[:n])


def documents(text):
    lines = []
    for line in text.splitlines(keepends=True):
        if line.strip() == "<|endoftext|>":
            yield "".join(lines)
            lines = []
        else:
            lines.append(line)
    yield "".join(lines)


def nats(read, wanted):
    """Cross-entropy of each wanted token after those before it in the window."""
    L.llama_memory_clear(L.llama_get_memory(context), True)
    batch = L.llama_batch_init(len(read), 0, 1)
    batch.n_tokens = len(read)
    for i, token in enumerate(read):
        batch.token[i], batch.pos[i], batch.logits[i] = token, i, True
        batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
    assert L.llama_decode(context, batch) == 0
    L.llama_batch_free(batch)
    logits = np.ctypeslib.as_array(L.llama_get_logits(context), (len(read), n_vocab))
    logits = logits.astype(np.float64)
    top = logits.max(-1)
    return top + np.log(np.exp(logits - top[:, None]).sum(-1)) - logits[np.arange(len(read)), wanted]


end = L.llama_vocab_eot(vocab) if a.end_id is None else a.end_id
text = open(a.text, encoding="utf-8", newline="").read()
ids = [i for document in documents(text) if document.strip() for i in [end, *tokens(document)]]
total = 0.0
for first in range(0, len(ids) - 1, a.window):
    wanted = ids[first + 1 : first + 1 + a.window]
    total += nats(ids[first : first + len(wanted)], wanted).sum()
n = len(ids) - 1
print(f"{n} tokens, {total / n:.5f} nats a token, perplexity {math.exp(total / n):.4f}")
