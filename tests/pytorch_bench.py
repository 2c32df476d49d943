"""The bench's training steps and products in PyTorch, on the GPU of this machine: what Glia is held against there.

    python tests/pytorch_bench.py [--json FILE]

Prints the median of the rounds in milliseconds: training steps of the default and of the wider VAE, eager and compiled
with CUDA graphs, and f32 products (TF32 off, as WebGPU has no such thing). Needs PyTorch with CUDA, and nothing else.
"""

import argparse
import json
import statistics
import sys

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError:
    sys.exit("pytorch_bench: PyTorch is not installed here: see https://pytorch.org/get-started")


class VAE(nn.Module):
    """784-400-20 by default: the same layers and sizes as Glia's."""

    def __init__(self, widths=(784, 400), latent=20):
        super().__init__()
        sizes = list(widths)
        self.latent = latent
        self.encoder = mlp([*sizes, 2 * latent])
        self.decoder = mlp([latent, *reversed(sizes)])

    def forward(self, x):
        mean, logvar = self.encoder(x).split(self.latent, dim=1)
        z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        logits = self.decoder(z)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = -0.5 * torch.sum(1 + logvar - mean.square() - logvar.exp())
        return (reconstruction + kl) / x.shape[0]


def mlp(sizes):
    layers = []
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        layers += ([nn.ReLU()] if i else []) + [nn.Linear(inputs, outputs)]
    return nn.Sequential(*layers)


def milliseconds(work, rounds=15, repeats=50):
    """Median over rounds of the time for one of so many in a row, by CUDA events, after a warm-up."""
    for _ in range(repeats):
        work()
    times = []
    for _ in range(rounds):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(repeats):
            work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / repeats)
    return statistics.median(times)


def step_of(model, batch, compiled):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=compiled)
    images = torch.rand(batch, 784, device="cuda")
    loss_of = torch.compile(model, mode="reduce-overhead") if compiled else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(images).backward()
        optimizer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="also write the numbers to this file")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("pytorch_bench: PyTorch finds no CUDA device here")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(0)
    results = {}
    models = {"default VAE": {}, "wider VAE": {"widths": (784, 1024, 512), "latent": 32}}
    for name, sizes in models.items():
        for batch in (128, 512) if name == "default VAE" else (128,):
            for compiled in (False, True):
                key = f"train step, {name}, batch {batch}, {'compiled with CUDA graphs' if compiled else 'eager'}"
                results[key] = milliseconds(step_of(VAE(**sizes).cuda(), batch, compiled))
    for size in (512, 1024, 4096):
        a, b = (torch.rand(size, size, device="cuda") for _ in range(2))
        results[f"product {size}³, f32"] = milliseconds(lambda: a @ b, repeats=20)
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}")
    for key, value in results.items():
        print(f"{key:60} {value:9.4f} ms")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"device": torch.cuda.get_device_name(), "milliseconds": results}, file, indent=2)


if __name__ == "__main__":
    main()
