"""Time training steps of siskin and of PyTorch in turn, on models of the same shape.

    python benches/peers/training.py [--siskin target/release/siskin] [--rounds 3] [--modes bf16-compiled] [--shapes ...]

A round times siskin, then PyTorch in each mode, then siskin again. Prints a Markdown table: the tokens a second of every
round, and the ratio of the medians. Both train with AdamW on random tokens; PyTorch has what its users would use: fused
attention and optimizer, autocast, torch.compile. Needs: pip install torch numpy, and for the compiled modes a C++ compiler.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

import torch
import torch.nn.functional as F
from torch import nn

SHAPES = {
    "4x128": dict(layers=4, width=128, heads=4, ffn=384, context=64, batch=12, vocab=512),
    "6x256": dict(layers=6, width=256, heads=4, ffn=768, context=256, batch=16, vocab=2048),
    "6x384": dict(layers=6, width=384, heads=6, ffn=1024, context=256, batch=16, vocab=2048),
    "8x512": dict(layers=8, width=512, heads=8, ffn=1408, context=512, batch=8, vocab=8192),
}
MODES = {"f32": (False, False), "bf16": (True, False), "f32-compiled": (False, True), "bf16-compiled": (True, True)}


class Attention(nn.Module):
    """Causal attention whose queries and keys are normalised and turned by their positions."""

    def __init__(self, width, heads, context):
        super().__init__()
        self.heads, size = heads, width // heads
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.norms = nn.ModuleList([nn.RMSNorm(size), nn.RMSNorm(size)])
        angles = torch.outer(torch.arange(context), 1e4 ** (-torch.arange(0, size, 2) / size))
        self.register_buffer("turn", torch.stack([angles.cos(), angles.sin()]))

    def turned(self, x):
        first, second = x.chunk(2, -1)
        cos, sin = self.turn
        return torch.cat([first * cos - second * sin, second * cos + first * sin], -1).to(x.dtype)

    def forward(self, x):
        batch, context, width = x.shape
        parts = self.qkv(x).view(batch, context, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = (self.turned(norm(part)) for norm, part in zip(self.norms, parts[:2]))
        mixed = F.scaled_dot_product_attention(q, k, parts[2], is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, context, width))


class Layer(nn.Module):
    def __init__(self, width, heads, ffn, context):
        super().__init__()
        self.norms = nn.ModuleList([nn.RMSNorm(width), nn.RMSNorm(width)])
        self.attention = Attention(width, heads, context)
        self.gate_up, self.down = nn.Linear(width, 2 * ffn, bias=False), nn.Linear(ffn, width, bias=False)

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        gate, up = self.gate_up(self.norms[1](x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    """The shape that siskin trains: Qwen3's, with the head tied to the embedding."""

    def __init__(self, layers, width, heads, ffn, context, vocab):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.layers = nn.ModuleList(Layer(width, heads, ffn, context) for _ in range(layers))
        self.norm = nn.RMSNorm(width)

    def forward(self, ids, targets):
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def pytorch(shape, mode, steps):
    """Tokens a second at the median step."""
    in_bf16, compiled = MODES[mode]
    batch = shape["batch"]
    torch.manual_seed(0)
    model = Model(**{name: size for name, size in shape.items() if name != "batch"})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), fused=True)
    ids, targets = torch.randint(shape["vocab"], (2, batch, shape["context"]))
    forward = torch.compile(model) if compiled else model
    seconds = []
    for _ in range(3 + steps):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16):
            loss = forward(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    return ids.numel() / statistics.median(seconds[3:])


def siskin(program, shape, steps, precision):
    """Tokens a second at the median step, and the most memory that the process held."""
    command = [program, "bench", "train", "--optimizer", "adamw", "--json", "--steps", str(steps)]
    command += ["--precision", precision] + [word for name, size in shape.items() for word in (f"--{name}", str(size))]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found["tokens_per_second"], found["peak_bytes"]


p = argparse.ArgumentParser()
p.add_argument("--siskin", default="target/release/siskin")
p.add_argument("--precision", default="auto", help="siskin's")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--modes", nargs="+", choices=MODES, default=["bf16-compiled"])
p.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
a = p.parse_args()

torch.set_num_threads(len(os.sched_getaffinity(0)))
print(f"| shape | siskin, tokens/s | {' | '.join('PyTorch ' + mode for mode in a.modes)} | ratio | memory |")
print("|---|---|" + "---|" * len(a.modes) + "---|---|")
for name in a.shapes:
    shape = SHAPES[name]
    # Some 5 seconds each on two cores.
    steps = max(4, 200_000 // (shape["batch"] * shape["context"] * shape["layers"] * shape["width"] // 512))
    ours, theirs, peak = [], {mode: [] for mode in a.modes}, 0
    for _ in range(a.rounds):
        for measure in ["siskin", *a.modes, "siskin"]:
            if measure == "siskin":
                speed, peak = siskin(a.siskin, shape, steps, a.precision)
                ours.append(speed)
            else:
                theirs[measure].append(pytorch(shape, measure, steps))
    best = max(statistics.median(speeds) for speeds in theirs.values())
    listed = [", ".join(f"{speed:,.0f}" for speed in speeds) for speeds in (ours, *theirs.values())]
    print(f"| {name} | {' | '.join(listed)} | {statistics.median(ours) / best:.2f} | {peak / 1e6:.0f} MB |", flush=True)
