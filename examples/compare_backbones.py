"""Compare networks: one split and one schedule per seed for all, each of its published size.

    python examples/compare_backbones.py --dataset bbbp --output backbones.json
    python examples/compare_backbones.py --backbones dmpnn cmpnn --seeds 5
    python examples/compare_backbones.py --table backbones.json

Each run keeps the weights of its best validation epoch and is scored on the test set once.
Speed is that of ``graphsam bench``, measured after all runs. Finished runs are in the output
file: the same command goes on where it was stopped.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from compare_strategies import line, machine, run

from deepchem_graphsam.data import datasets
from deepchem_graphsam.experiments.bench import bench
from deepchem_graphsam.models.files import write_json

# Table 1 of the GraphSAM paper: five random splits five times, mean ± standard deviation.
PAPER = {
    "bbbp": {
        "gcn": "0.690 ± 0.041",
        "mpnn": "0.901 ± 0.032",
        "dmpnn": "0.912 ± 0.037",
        "cmpnn": "0.925 ± 0.017",
        "grover": "0.917 ± 0.028",
        "compt": "0.948 ± 0.025",
    },
    "esol": {
        "gcn": "0.970 ± 0.071",
        "mpnn": "0.702 ± 0.042",
        "dmpnn": "0.665 ± 0.060",
        "cmpnn": "0.582 ± 0.055",
        "grover": "0.639 ± 0.087",
        "compt": "0.562 ± 0.071",
    },
}


def main():
    """Run what is asked for, or print the table of what was run."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="bbbp")
    parser.add_argument(
        "--backbones",
        nargs="+",
        default=["gcn", "mpnn", "dmpnn", "cmpnn", "grover", "compt"])
    parser.add_argument("--strategy", default="base")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--loss", default=None)
    parser.add_argument("--output", type=Path, default=Path("backbones.json"))
    parser.add_argument("--table", nargs="+", type=Path, default=None)
    arguments = parser.parse_args()
    if arguments.table:
        print("\n\n".join(map(table, arguments.table)))
    else:
        compare(arguments)


def compare(arguments):
    """All runs that the output file does not have yet, then the speed of each network."""
    content = {"runs": [], "speed": {}}
    if arguments.output.exists():
        content = json.loads(arguments.output.read_text())
    content["script"] = Path(__file__).name
    content["page"] = "../baselines.md"
    content["request"] = {
        key: value
        for key, value in vars(arguments).items()
        if key not in ("output", "table")
    }
    content["machine"] = machine()
    done = {(r["backbone"], r["seed"]) for r in content["runs"]}
    for seed in range(arguments.seeds):
        for backbone in arguments.backbones:
            if (backbone, seed) not in done:
                found = run(arguments, arguments.strategy, None, seed, backbone)
                content["runs"].append({"backbone": backbone, **found})
                write_json(arguments.output, content)
                print(line(content["runs"][-1]), flush=True)
    for backbone in arguments.backbones:
        content["speed"][backbone] = bench(arguments.dataset,
                                           backbone,
                                           strategies=[arguments.strategy])
        write_json(arguments.output, content)
    print(table(arguments.output))


def table(path):
    """The comparison as a Markdown table: mean and spread over seeds."""
    content = json.loads(path.read_text())
    request, speed = content["request"], content["speed"]
    spec = datasets.DATASETS[request["dataset"]]
    paper = PAPER.get(request["dataset"], {})
    lines = [
        f"{request['dataset']}, {spec.metric}, {request['strategy']}, "
        f"{request['epochs']} epochs", "",
        "| network | test, mean ± std over seeds | the paper's Table 1 | by seed | "
        "parameters | graphs/s |", "|---|---|---|---|---|---|"
    ]
    for backbone in dict.fromkeys(r["backbone"] for r in content["runs"]):
        test = [r["test"] for r in content["runs"] if r["backbone"] == backbone]
        spread = f" ± {np.std(test, ddof=1):.3f}" if len(test) > 1 else ""
        measured = speed.get(backbone)
        size = f"{measured['parameters']:,}" if measured else "–"
        rate = (f"{measured['graphs_per_second'][request['strategy']]:.0f}"
                if measured else "–")
        lines.append(
            f"| {backbone} | {np.mean(test):.3f}{spread} | "
            f"{paper.get(backbone, '–')} | "
            f"{', '.join(f'{t:.3f}' for t in test)} | {size} | {rate} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
