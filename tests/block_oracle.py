"""PyTorch's TransformerEncoderLayer with given weights: result and gradients, JSON in and out."""
import json
import sys

import torch

job = json.load(sys.stdin)
block = torch.nn.TransformerEncoderLayer(
    job["width"], job["heads"], job["hidden"], 0.0, job["activation"], batch_first=True, norm_first=job["normFirst"]
).double()
# Strict: the names must be PyTorch's own.
block.load_state_dict(
    {name: torch.tensor(v["data"], dtype=torch.float64).reshape(v["shape"]) for name, v in job["weights"].items()}
)
x = torch.tensor(job["x"], dtype=torch.float64).reshape(job["shape"]).requires_grad_()
length = x.shape[1]
hidden = torch.triu(torch.ones(length, length, dtype=torch.bool), 1) if job["causal"] else None
y = block(x, src_mask=hidden)
(y * torch.tensor(job["g"], dtype=torch.float64).reshape(y.shape)).sum().backward()
found = {name: value.grad for name, value in block.named_parameters()}
gradients = {name: value.flatten().tolist() for name, value in {**found, "x": x.grad}.items()}
json.dump({"y": y.flatten().tolist(), "gradients": gradients}, sys.stdout)
