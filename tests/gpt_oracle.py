"""Loss and gradients of a GPT by PyTorch, from weights under GPT-2's names: reads JSON, and writes JSON."""
import json
import math
import sys

import torch

torch.set_default_dtype(torch.float64)
job = json.load(sys.stdin)
heads, layers = job["heads"], job["layers"]
weights = {
    name: torch.tensor(value["data"], dtype=torch.float64).reshape(value["shape"]).requires_grad_()
    for name, value in job["weights"].items()
}
tokens = torch.tensor(job["tokens"])


def norm(x, name):
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, name):
    return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attend(x, name):
    batch, length, width = x.shape
    parts = linear(x, f"{name}.c_attn").reshape(batch, length, 3, heads, width // heads)
    q, k, v = parts.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // heads)
    hidden = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
    y = torch.softmax(scores.masked_fill(hidden, -math.inf), -1) @ v
    return linear(y.transpose(1, 2).reshape(batch, length, width), f"{name}.c_proj")


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


seen, wanted = tokens[:, :-1], tokens[:, 1:]
x = weights["transformer.wte.weight"][seen] + weights["transformer.wpe.weight"][: seen.shape[1]]
for layer in range(layers):
    block = f"transformer.h.{layer}"
    x = x + attend(norm(x, f"{block}.ln_1"), f"{block}.attn")
    inner = gelu(linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc"))
    x = x + linear(inner, f"{block}.mlp.c_proj")
logits = norm(x, "transformer.ln_f") @ weights["transformer.wte.weight"].T
loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())
loss.backward()
gradients = {name: value.grad.flatten().tolist() for name, value in weights.items()}
json.dump({"loss": loss.item(), "gradients": gradients}, sys.stdout)
