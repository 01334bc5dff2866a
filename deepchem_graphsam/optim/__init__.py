"""Sharpness-aware optimizers in plain PyTorch: nothing here knows DeepChem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from deepchem_graphsam.optim.base import SharpnessAware, running_statistics
from deepchem_graphsam.optim.closures import SampleClosure
from deepchem_graphsam.optim.esam import ESAM
from deepchem_graphsam.optim.gated import AESAM, RST
from deepchem_graphsam.optim.graphsam import GraphSAM, GraphSAMK
from deepchem_graphsam.optim.looksam import LookSAM
from deepchem_graphsam.optim.plain import Base
from deepchem_graphsam.optim.released import ReleasedGraphSAM
from deepchem_graphsam.optim.rho import (
    RHO_SCHEDULES,
    CompoundingRho,
    ConstantRho,
    CosineRho,
    LearningRateRho,
    LinearRho,
    RhoScheduler,
    StepRho,
)
from deepchem_graphsam.optim.sam import ASAM, SAM
from deepchem_graphsam.optim.sam_k import SAMk, SAMOne
from deepchem_graphsam.optim.schedules import NoamRate, TransformerRate
from deepchem_graphsam.registry import Registry


@dataclass(frozen=True)
class Strategy:
    """A name's worth of optimizer: what ``strategy="…"`` stands for.

    Attributes
    ----------
    build: callable
        built base optimizer and options to strategy
    passes: str
        forward and backward passes per step, with S steps per epoch
    memory: str
        extra memory, in copies of the weights
    summary: str
        one line for ``graphsam list``
    rho_schedule: callable
        the schedule of rho where the user names none
    """
    build: Callable[..., SharpnessAware]
    passes: str
    memory: str
    summary: str
    rho_schedule: Callable[[int], float] = field(default_factory=ConstantRho)


STRATEGIES: Registry[Strategy] = Registry(
    "strategy", {
        "base":
            Strategy(Base, "1", "0", "the base optimizer alone"),
        "sam":
            Strategy(SAM, "2", "1",
                     "a fresh perturbation at every step (Foret 2021)"),
        "asam":
            Strategy(ASAM, "2", "1",
                     "SAM with a neighbourhood that scales (Kwon 2021)"),
        "sam-one":
            Strategy(SAMOne, "1", "2",
                     "the perturbation of the first step for ever"),
        "sam-k":
            Strategy(SAMk, "1 + 1/k", "2",
                     "a fresh perturbation every k steps"),
        "looksam":
            Strategy(LookSAM, "1 + 1/k", "2",
                     "what SAM adds to the gradient, reused (Liu 2022)"),
        "ae-sam":
            Strategy(AESAM, "1 to 2", "1",
                     "SAM where the gradient is long (Jiang 2023)"),
        "rst":
            Strategy(RST, "1 + p", "1", "SAM with probability p (Zhao 2022)"),
        "esam":
            Strategy(
                ESAM, "4/3 + gamma", "1",
                "SAM on random tensors and the samples it hurts (Du 2022)"),
        "graphsam":
            Strategy(GraphSAM, "1 + 1/S", "2",
                     "a perturbation averaged from past steps (Wang 2024)",
                     StepRho()),
        "graphsam-k":
            Strategy(GraphSAMK, "1 + 1/(k S)", "2",
                     "GraphSAM, anchored in every k-th epoch", StepRho()),
        "graphsam-released":
            Strategy(ReleasedGraphSAM, "1 + 1/S", "3",
                     "GraphSAM as in its authors' code, not in the paper",
                     CompoundingRho()),
    })

__all__ = [
    "AESAM", "ASAM", "ESAM", "RHO_SCHEDULES", "RST", "SAM", "STRATEGIES",
    "Base", "CompoundingRho", "ConstantRho", "CosineRho", "GraphSAM",
    "GraphSAMK", "LearningRateRho", "LinearRho", "LookSAM", "NoamRate",
    "ReleasedGraphSAM", "RhoScheduler", "SAMOne", "SAMk", "SampleClosure",
    "SharpnessAware", "StepRho", "Strategy", "TransformerRate",
    "running_statistics"
]
