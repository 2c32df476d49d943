"""PyTorch beside Glia in one run: the same training steps eager, as a CUDA graph and compiled; matmuls in f32 (without
TF32) and f16; softmax and sums. --warm only fills the compiler's cache."""

import argparse
import json
import os
import statistics
import sys
import time

import torch
from torch import nn

here = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [here, os.path.join(here, "..", "..", "..", "tests")]
from pytorch_bench import VAE  # noqa: E402

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
torch.set_float32_matmul_precision("highest")


class ConvVAE(nn.Module):
    """The bench's convolutional VAE: channels 1-32-64 by 3x3 of stride 2, latent 16, without norms."""

    def __init__(self, latent=16):
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            nn.Conv2d(1, 32, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(3136, 2 * latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(latent, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 3, 2, 1, 1), nn.Flatten(),
        )

    forward = VAE.forward


MODELS = {
    "vae-128": (lambda: VAE(), 128),
    "vae-512": (lambda: VAE(), 512),
    "wide-vae-128": (lambda: VAE((784, 1024, 512), 32), 128),
    "conv-vae-64": (lambda: ConvVAE(), 64),
    "big-vae-1024": (lambda: VAE((784, 4096), 20), 1024),
}
COMPILED = {"compiled": "default", "compiled, reduce-overhead": "reduce-overhead", "compiled, CUDA graph": "default"}
WAYS = ["eager", "CUDA graph", *COMPILED]


def captured(work, times=1):
    """A CUDA graph that does the work so many times."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(5):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(times):
            work()
    return graph.replay


def clock(work, repeats, rounds=7):
    """Milliseconds of one repeat, a round each."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / repeats * 1e3)
    return times


def step_of(model, batch, way):
    as_graph = way.endswith("CUDA graph")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=as_graph)
    images = torch.rand(batch, 784, device="cuda")
    loss_of = torch.compile(model, mode=COMPILED[way]) if way in COMPILED else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(images).backward()
        optimizer.step()

    return captured(step) if as_graph else step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="write all times to this file")
    parser.add_argument("--warm", action="store_true")
    arguments = parser.parse_args()
    found = {"device": torch.cuda.get_device_name(), "version": torch.__version__, "ms": {}}

    def tell(name, times, flops=0):
        found["ms"][name] = times
        ms = statistics.median(times)
        speed = f" {flops / ms / 1e9:8.2f} TFLOP/s" if flops else ""
        print(f"{name:46} {ms * 1e3:9.1f} us{speed}", flush=True)
        if arguments.json:
            with open(arguments.json, "w") as file:
                json.dump(found, file)

    for name, (make, batch) in MODELS.items():
        for way in COMPILED if arguments.warm else WAYS:
            try:
                torch.manual_seed(0)
                step = step_of(make().cuda(), batch, way)
                if arguments.warm:
                    for _ in range(3):
                        step()
                else:
                    tell(f"{name} {way}", clock(step, 200))
            except Exception as error:  # one way that fails must not cost the others
                print(f"{name} {way}: {str(error)[:200]}", flush=True)
    if arguments.warm:
        return
    cubes = [(size, size, size) for size in (4096, 2048, 1024, 512, 256)]
    for kind in (torch.float32, torch.float16):
        for m, k, n in cubes + [(128, 784, 400), (784, 128, 400), (400, 128, 784), (128, 400, 40)]:
            a, b = torch.randn(m, k, device="cuda", dtype=kind), torch.randn(k, n, device="cuda", dtype=kind)
            at, bt = a.t().contiguous(), b.t().contiguous()
            forms = {"nn": lambda: a @ b, "nt": lambda: a @ bt.t(), "tn": lambda: at.t() @ b}
            inside = 3 if m * n * k > 1e10 else 50
            for form, work in forms.items():
                times = [ms / inside for ms in clock(captured(work, inside), 5)]
                tell(f"{m}x{k}x{n} {form} {str(kind)[6:]}", times, 2 * m * n * k)
    x, s = torch.randn(2048, 2048, device="cuda"), torch.randn(1024, 1000, device="cuda")
    others = {
        "softmax 1024x1000": lambda: s.softmax(1),
        "sum over rows 2048x2048": lambda: x.sum(1),
        "sum over columns 2048x2048": lambda: x.sum(0),
        "sum of all 2048x2048": lambda: x.sum(),
    }
    for name, work in others.items():
        tell(name, [ms / 50 for ms in clock(captured(work, 50), 5)])


main()
