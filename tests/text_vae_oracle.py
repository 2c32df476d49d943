"""The bound of a text VAE and its gradients by PyTorch, from weights, tokens, noise and what is hidden: JSON in and out."""
import json
import sys

import torch

torch.set_default_dtype(torch.float64)
job = json.load(sys.stdin)
latent, end = job["latent"], job["end"]


def array(value):
    return torch.tensor(value["data"], dtype=torch.float64).reshape(value["shape"])


weights = {name: array(value).requires_grad_() for name, value in job["weights"].items()}
tokens = torch.tensor(job["tokens"])
noise = torch.tensor(job["noise"])
count, length = tokens.shape


def linear(x, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gru(x, state, name):
    states = []
    for t in range(x.shape[1]):
        given = x[:, t] @ weights[f"{name}.weight_ih_l0"].T + weights[f"{name}.bias_ih_l0"]
        own = state @ weights[f"{name}.weight_hh_l0"].T + weights[f"{name}.bias_hh_l0"]
        ir, iz, i_n = given.chunk(3, 1)
        hr, hz, hn = own.chunk(3, 1)
        reset, keep = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
        state = (1 - keep) * torch.tanh(i_n + reset * hn) + keep * state
        states.append(state)
    return torch.stack(states, 1)


embedding = weights["embedding.weight"]
lengths = (tokens != end).sum(1)
hidden = weights["encoder.weight_hh_l0"].shape[1]
read = gru(embedding[tokens], torch.zeros(count, hidden), "encoder")
counted = (torch.arange(length)[None] <= lengths[:, None]).double()
code = linear((read * counted[:, :, None]).sum(1) / counted.sum(1, keepdim=True), "code")
mean, logvar = code[:, :latent], code[:, latent:]
z = mean + torch.exp(logvar / 2) * noise
told = torch.cat([torch.full((count, 1), end), tokens[:, :-1]], 1)
if job["untold"]:
    told[:, 1:] = end + 1
x = torch.cat([embedding[told], z[:, None, :].expand(count, length, latent)], 2)
logits = linear(gru(x, linear(z, "start"), "decoder"), "out")
each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens, reduction="none")
reconstruction = (each * counted).sum(1)
kl = 0.5 * (mean**2 + logvar.exp() - 1 - logvar).sum(1)
loss = (reconstruction + kl).mean()
loss.backward()
json.dump(
    {
        "loss": loss.item(),
        "reconstruction": reconstruction.tolist(),
        "kl": kl.tolist(),
        "gradients": {name: value.grad.flatten().tolist() for name, value in weights.items()},
    },
    sys.stdout,
)
