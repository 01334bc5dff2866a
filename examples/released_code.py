"""What each departure of GraphSAM's released code does to a training run.

    python examples/released_code.py --output docs/records/released_code.json
    python examples/released_code.py --table docs/records/released_code.json

CoMPT at its published size on BBBP; seed, split, initialisation, order, base
optimizer and learning rates are the same for all. Finished runs are in the output
file: the same command goes on where it was stopped.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from compare_strategies import machine

from deepchem_graphsam import GraphSAMModel
from deepchem_graphsam._host import dc
from deepchem_graphsam.data import datasets
from deepchem_graphsam.models.files import write_json

PAPER = {
    "strategy": "graphsam-released",
    "rho_schedule": "step",
    "per_tensor": False,
    "adaptive": False,
    "clip_radius": None,
    "vanishing_norm": False,
    "loss_weighted_gradient": False,
}
RUNS = {
    "Adam alone": {
        "strategy": "base"
    },
    "Algorithm 1": {
        "strategy": "graphsam"
    },
    "rho compounds": {
        **PAPER, "rho_schedule": "compounding"
    },
    "ω normalised per tensor": {
        **PAPER, "per_tensor": True
    },
    "θ² scaling": {
        **PAPER, "adaptive": True
    },
    "vanishing norm, clip per tensor": {
        **PAPER, "vanishing_norm": True,
        "clip_radius": 1.0
    },
    "gradient times loss": {
        **PAPER, "loss_weighted_gradient": True
    },
    "all together": {
        "strategy": "graphsam-released"
    },
}
PRINTED = ("run", "seed", "valid", "test", "train_loss", "seconds")


def main():
    """Run what is not there yet, or print the table of what was run."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="bbbp")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("released.json"))
    parser.add_argument("--table", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.table:
        print(table(arguments.table))
        return
    content = {"runs": []}
    if arguments.output.exists():
        content = json.loads(arguments.output.read_text())
    content["script"], content[
        "page"] = "released_code.py", "../released_code.md"
    content["request"] = {
        "dataset": arguments.dataset,
        "epochs": arguments.epochs,
        "command": "python examples/released_code.py"
    }
    content["machine"] = machine()
    done = {(r["run"], r["seed"]) for r in content["runs"]}
    for seed in range(arguments.seeds):
        for name in arguments.runs:
            if (name, seed) not in done:
                content["runs"].append(run(arguments, name, seed))
                write_json(arguments.output, content)
                print({key: content["runs"][-1][key] for key in PRINTED},
                      flush=True)


def run(arguments, name, seed):
    """Train and score one model; measure how far its steps move the weights."""
    loaded = datasets.load(arguments.dataset, seed=seed)
    train, valid, test = loaded.splits
    metric = dc.metrics.Metric(getattr(dc.metrics, loaded.spec.metric))
    model = GraphSAMModel("compt",
                          n_tasks=len(loaded.tasks),
                          mode=loaded.spec.mode,
                          preset=arguments.dataset,
                          seed=seed,
                          **RUNS[name])
    moves, steps = [[] for _ in range(arguments.epochs)
                   ], model.steps_per_epoch(train)

    def measure(_, step):
        if step % 10 == 5:
            moves[(step - 1) // steps].append(length_of_move(model))

    start = time.perf_counter()
    model.fit(train,
              nb_epoch=arguments.epochs,
              checkpoint_interval=0,
              callbacks=measure,
              valid=valid,
              metric=metric,
              transformers=loaded.transformers,
              progress=False)
    return {
        "run":
            name,
        "seed":
            seed,
        "valid":
            model.best_score,
        "test":
            model.evaluate(test, [metric], loaded.transformers)[metric.name],
        "best_epoch":
            model.best_epoch,
        "train_loss":
            model.history[-1]["loss"],
        "seconds":
            round(time.perf_counter() - start, 1),
        "rho_by_epoch": [r["rho"] for r in model.history],
        "move_by_epoch": [float(np.mean(m)) for m in moves],
        "loss_by_epoch": [round(r["loss"], 4) for r in model.history],
        "valid_by_epoch": [round(r["valid"], 4) for r in model.history],
    }


def length_of_move(model):
    """How far the next step would move the weights, all together."""
    optimizer = model._pytorch_optimizer
    if not hasattr(optimizer, "_heading"):
        return 0.0
    heading = optimizer._heading()
    rho = optimizer.param_groups[0]["rho"]
    parts = torch.cat([part.flatten() for part in heading.parts.values()])
    return float(rho * parts.norm() / heading.norm)


def table(path):
    """The record as a Markdown table: means over the seeds, and each seed."""
    content = json.loads(path.read_text())
    lines = [
        "| run | length of a step's perturbation, epochs 1, 2, 3, last | training "
        "loss of the last epoch | validation AUC | test AUC | by seed |",
        "|---|---|---|---|---|---|"
    ]
    for name in RUNS:
        mine = [r for r in content["runs"] if r["run"] == name]
        if not mine:
            continue
        moves = np.mean([r["move_by_epoch"] for r in mine], axis=0)
        moves = ", ".join(f"{m:.2g}" for m in moves[[0, 1, 2, -1]])
        loss, valid, test = (np.mean([r[key]
                                      for r in mine])
                             for key in ("train_loss", "valid", "test"))
        lines.append(f"| {name} | {moves} | {loss:.3f} | {valid:.3f} | "
                     f"{test:.3f} | "
                     f"{', '.join(format(r['test'], '.3f') for r in mine)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
