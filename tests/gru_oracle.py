"""PyTorch's GRU with given weights: result and gradients, JSON in and out."""
import json
import sys

import torch

job = json.load(sys.stdin)
gru = torch.nn.GRU(job["width"], job["hidden"], job["layers"], batch_first=True).double()


def array(value, shape):
    return torch.tensor(value, dtype=torch.float64).reshape(shape)


# Strict: the names must be PyTorch's own.
gru.load_state_dict({name: array(value["data"], value["shape"]) for name, value in job["weights"].items()})
x = array(job["x"], job["shape"]).requires_grad_()
initial = array(job["initial"], [job["layers"], x.shape[0], job["hidden"]]).requires_grad_()
y, last = gru(x, initial)
((y * array(job["g"], y.shape)).sum() + (last * array(job["gLast"], last.shape)).sum()).backward()
found = {name: value.grad for name, value in gru.named_parameters()}
gradients = {**found, "x": x.grad, "initial": initial.grad}
json.dump(
    {
        "y": y.flatten().tolist(),
        "last": last.flatten().tolist(),
        "gradients": {name: value.flatten().tolist() for name, value in gradients.items()},
    },
    sys.stdout,
)
