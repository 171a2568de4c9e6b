"""Compare siskin's logits of GGUF files with llama.cpp's, position by position.

    python docs/interop/quantized.py FILE.gguf... [--positions 64] [--siskin target/release/examples/logits]

Prints for each file the largest and the mean Kullback-Leibler divergence (nats) of siskin's probabilities from llama.cpp's,
the share of positions at which both think the same token the most probable, and, where they do not, how far apart the two
candidates are in llama.cpp's logits. Then the same of each program against exact arithmetic: the file's weights written as
F32 (by the Python library gguf), computed by llama.cpp with keys and values in F32 too, so that nothing but the weights was
rounded. And of llama.cpp against itself: all positions at once as by default, and one at a time, which its chat does.
Needs: pip install numpy gguf llama-cpp-python.
"""
import argparse
import ctypes
import json
import subprocess
import tempfile

import gguf
import llama_cpp as L
import numpy as np

p = argparse.ArgumentParser()
p.add_argument("files", nargs="+")
p.add_argument("--positions", type=int, default=64)
p.add_argument("--ids", help="these token ids, with commas between, instead of random ones")
p.add_argument("--siskin", default="target/release/examples/logits")
a = p.parse_args()

L.llama_backend_init()
quiet = L.llama_log_callback(lambda level, text, data: None)
L.llama_log_set(quiet, ctypes.c_void_p())


def as_f32(path, out):
    """Writes the model of `path` with its weights as they are, but as F32."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields[gguf.Keys.General.ARCHITECTURE].contents()
    writer = gguf.GGUFWriter(out, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in (gguf.Keys.General.ARCHITECTURE, gguf.Keys.General.FILE_TYPE):
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        shape = [int(n) for n in reversed(tensor.shape)]
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def theirs(path, ids, cache=L.GGML_TYPE_F16, at_once=512):
    """llama.cpp's logits at every position; by default keys and values in f16 and up to 512 positions at once."""
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    params = L.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = 1024, 1024, at_once
    params.type_k = params.type_v = cache
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


def compared(wanted, found):
    """How far `found` is from `wanted`, in words."""
    log_p, log_q = log_softmax(wanted), log_softmax(found)
    kl = (np.exp(log_p) * (log_p - log_q)).sum(-1)
    top, own = wanted.argmax(-1), found.argmax(-1)
    rows = np.flatnonzero(top != own)
    gaps = [round(float(wanted[r, top[r]] - wanted[r, own[r]]), 3) for r in rows]
    same = f"same top token {100 * (1 - len(rows) / len(wanted)):.1f} %"
    return f"KL max {kl.max():.1e}, mean {kl.mean():.1e}; {same}; gaps where not {gaps}"


def vocabulary(path):
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    n = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    L.llama_model_free(model)
    return n


for path in a.files:
    n_vocab = vocabulary(path)
    ids = [int(i) for i in a.ids.split(",")] if a.ids else None
    ids = ids or np.random.default_rng(0).integers(min(300, n_vocab // 2), n_vocab, a.positions).tolist()
    wanted = theirs(path, ids)
    out = subprocess.run([a.siskin, path, "0", *map(str, ids)], check=True, capture_output=True, text=True).stdout
    found = np.array(json.loads(out)["logits"])
    with tempfile.TemporaryDirectory() as folder:
        as_f32(path, folder + "/f32.gguf")
        exact = theirs(folder + "/f32.gguf", ids, L.GGML_TYPE_F32)
    print(f"{path}: siskin from llama.cpp: {compared(wanted, found)}")
    print(f"    siskin from exact: {compared(exact, found)}")
    print(f"    llama.cpp from exact: {compared(exact, wanted)}")
    print(f"    llama.cpp from itself, one at a time: {compared(wanted, theirs(path, ids, at_once=1))}")
