"""Two processes with half of each batch: the weights of one with the joint batch."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from deepchem_graphsam.optim import STRATEGIES, SampleClosure

STEPS, RANKS = 12, 2
OPTIONS = {
    "sam-k": {
        "k": 3
    },
    "looksam": {
        "rho": 0.05,
        "k": 3
    },
    "ae-sam": {
        "total_steps": STEPS
    },
    "esam": {
        "gamma": 1.0
    },
    "graphsam": {
        "anchor_every": 5
    },
    "graphsam attached": {
        "anchor_every": 5
    },
}
NAMES = [*STRATEGIES, "graphsam attached"]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def batch(t, rank=None):
    generator = torch.Generator().manual_seed(t)
    x = torch.randn(16, 5, generator=generator, dtype=torch.float64)
    rows = slice(None) if rank is None else slice(8 * rank, 8 * rank + 8)
    return x[rows], (x[:, :1] * x[:, 1:2])[rows]


def train(name, model, rank=None, **more):
    """Weights after `STEPS` steps."""
    strategy, _, attached = name.partition(" ")
    options = {**OPTIONS.get(name, {}), **more}
    optimizer = STRATEGIES[strategy].build(
        torch.optim.Adam(model.parameters(), lr=1e-2), **options)
    if attached:
        optimizer.attach(model)
    for t in range(STEPS):
        x, y = batch(t, rank)
        closure = SampleClosure(optimizer,
                                lambda rows, x=x, y=y:
                                ((model(x[rows]) - y[rows])**2).mean(1))
        if attached:
            closure()
            optimizer.step()
        else:
            optimizer.step(closure)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def work(rank, directory):
    """What each process does; it leaves its weights in a file."""
    torch.distributed.init_process_group("gloo",
                                         init_method=f"file://{directory}/meet",
                                         world_size=RANKS,
                                         rank=rank)
    found = {}
    for name in NAMES:
        found[name] = train(name, DistributedDataParallel(network()), rank)
    for name in ("sam", "graphsam"):
        model = DistributedDataParallel(network())
        found[f"{name}-local"] = train(name, model, rank, no_sync=model.no_sync)
    found["esam-chooses"] = train("esam",
                                  DistributedDataParallel(network()),
                                  rank,
                                  gamma=0.5)
    torch.save(found, f"{directory}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    if not torch.distributed.is_available():
        pytest.skip("this torch has no torch.distributed")
    directory = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(work, (str(directory),), nprocs=RANKS)
    return [
        torch.load(directory / f"{rank}.pt", weights_only=True)
        for rank in range(RANKS)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_train_as_one_with_the_joint_batch(weights, name):
    assert torch.equal(weights[0][name], weights[1][name])
    torch.testing.assert_close(weights[0][name],
                               train(name, network()),
                               rtol=0,
                               atol=1e-9)


@pytest.mark.parametrize("name", ["sam", "graphsam"])
def test_local_perturbations_give_equal_weights_and_another_result(
        weights, name):
    local = f"{name}-local"
    assert torch.equal(weights[0][local], weights[1][local])
    assert not torch.allclose(weights[0][local], weights[0][name])


def test_esam_chooses_among_the_samples_of_each_process(weights):
    """So it is not ESAM of the joint batch, but one network all the same."""
    assert torch.equal(weights[0]["esam-chooses"], weights[1]["esam-chooses"])
    joint = train("esam", network(), gamma=0.5)
    assert not torch.allclose(weights[0]["esam-chooses"], joint)


def test_local_sam_is_m_sharpness(weights):
    """Each part of the batch perturbs for itself; the mean gradient updates."""
    model = network()
    params = list(model.parameters())
    base = torch.optim.Adam(params, lr=1e-2)
    for t in range(STEPS):
        total = [torch.zeros_like(p) for p in params]
        for rank in range(RANKS):
            x, y = batch(t, rank)

            def gradient(x=x, y=y):
                return torch.autograd.grad(((model(x) - y)**2).mean(), params)

            epsilon = gradient()
            norm = torch.stack([g.norm() for g in epsilon]).norm()
            clean = [p.detach().clone() for p in params]
            with torch.no_grad():
                for p, e in zip(params, epsilon, strict=True):
                    p.add_(0.05 * e / norm)
            for part, g in zip(total, gradient(), strict=True):
                part.add_(g / RANKS)
            with torch.no_grad():
                for p, before in zip(params, clean, strict=True):
                    p.copy_(before)
        for p, g in zip(params, total, strict=True):
            p.grad = g
        base.step()
    expected = torch.cat([p.detach().flatten() for p in params])
    torch.testing.assert_close(weights[0]["sam-local"],
                               expected,
                               rtol=0,
                               atol=1e-9)
