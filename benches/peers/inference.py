"""Time siskin and llama.cpp in turn on GGUF files: reading a prompt, and writing after it.

    python benches/peers/inference.py FILE.gguf... [--siskin target/release/siskin] [--rounds 2]

A round times siskin, llama.cpp, siskin. Prints a Markdown table: tokens a second of every round, writing 64 tokens and reading
128, with two threads each. Needs: pip install numpy llama-cpp-python (which compiles llama.cpp for this CPU).
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import time

import llama_cpp as L

PROMPT, WRITTEN, REPEATS = 128, 64, 3

p = argparse.ArgumentParser()
p.add_argument("files", nargs="+")
p.add_argument("--siskin", default="target/release/siskin")
p.add_argument("--threads", type=int, default=2)
p.add_argument("--rounds", type=int, default=2)
a = p.parse_args()


def siskin(path):
    """Tokens written and read a second."""
    command = [a.siskin, "bench", path, "--threads", str(a.threads), "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    read = next(part for part in found["prefill"] if part["tokens"] == PROMPT)
    return found["decode"]["tokens_per_second"], read["tokens_per_second"]


def feed(context, ids):
    """Gives llama.cpp tokens and waits for the logits of the last."""
    array = (ctypes.c_int32 * len(ids))(*ids)
    assert L.llama_decode(context, L.llama_batch_get_one(array, len(ids))) == 0
    L.llama_get_logits_ith(context, -1)


def llama_cpp(path):
    """Tokens written and read a second: medians of some repetitions, after one that does not count."""
    model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
    n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
    ids = [(7919 * i + 300) % n_vocab for i in range(PROMPT + WRITTEN)]
    speeds = []
    for _ in range(1 + REPEATS):
        params = L.llama_context_default_params()
        params.n_ctx, params.n_threads, params.n_threads_batch = 2048, a.threads, a.threads
        context = L.llama_init_from_model(model, params)
        times = [time.perf_counter()]
        feed(context, ids[:PROMPT])
        times.append(time.perf_counter())
        for token in ids[PROMPT:]:
            feed(context, [token])
        times.append(time.perf_counter())
        speeds.append((WRITTEN / (times[2] - times[1]), PROMPT / (times[1] - times[0])))
        L.llama_free(context)
    L.llama_model_free(model)
    return [statistics.median(speed) for speed in zip(*speeds[1:])]


L.llama_backend_init()
quiet = L.llama_log_callback(lambda level, text, data: None)
L.llama_log_set(quiet, ctypes.c_void_p())
print("| file | siskin writes | llama.cpp writes | ratio | siskin reads | llama.cpp reads | ratio |\n" + "|---" * 7 + "|")
for path in a.files:
    ours, theirs = [], []
    for _ in range(a.rounds):
        ours.append(siskin(path))
        theirs.append(llama_cpp(path))
        ours.append(siskin(path))
    cells = [os.path.basename(path)]
    for own, other in zip(zip(*ours), zip(*theirs)):
        cells += [", ".join(f"{speed:,.0f}" for speed in speeds) for speeds in (own, other)]
        cells.append(f"{statistics.median(own) / statistics.median(other):.2f}")
    print(f"| {' | '.join(cells)} |", flush=True)
