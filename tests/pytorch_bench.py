"""The bench's training steps and products in PyTorch, on the GPU of this machine: what Glia is held against there.

    python tests/pytorch_bench.py [--json FILE]

`npm run bench -- --node` runs it on a GPU and shows its numbers beside Glia's.

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
    """In each round, the time for one of so many in a row, by CUDA events, after a warm-up."""
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
    return times


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
    # By the names that the bench has for its workloads.
    eager, compiled = {}, {}
    wide = {"widths": (784, 1024, 512), "latent": 32}
    for name, batch, sizes in (("vae-128", 128, {}), ("vae-512", 512, {}), ("wide-vae-128", 128, wide)):
        eager[name] = milliseconds(step_of(VAE(**sizes).cuda(), batch, compiled=False))
        compiled[name] = milliseconds(step_of(VAE(**sizes).cuda(), batch, compiled=True))
    for size in (256, 512, 1024, 2048, 4096):
        a, b = (torch.rand(size, size, device="cuda") for _ in range(2))
        forms = {"nn": lambda: a @ b, "nt": lambda: a @ b.T, "tn": lambda: a.T @ b}
        for form, product in forms.items():
            eager[f"matmul-{size}-{form}"] = milliseconds(product, repeats=20)
    print(f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}")
    for title, times in (("eager", eager), ("compiled with CUDA graphs", compiled)):
        for name, rounds in times.items():
            print(f"{name:20} {title:28} {statistics.median(rounds):9.4f} ms")
    if arguments.json:
        results = {"device": torch.cuda.get_device_name(), "version": torch.__version__}
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({**results, "eager": eager, "compiled": compiled}, file, indent=2)


if __name__ == "__main__":
    main()
