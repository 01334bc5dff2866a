"""Fixtures every test may use: the shared data, when this machine has it."""

import os

# Before torch is there. Networks this small gain nothing from a second thread, and where another
# process wants the processor, threads that wait for each other turn seconds into minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import logging
import shutil
import sys
from pathlib import Path

import pytest

from deepchem_graphsam.cli import main

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def reference_dir():
    """The numeric fixtures of the released models and of every optimizer."""
    path = SHARED / "reference"
    if not path.is_dir():
        pytest.skip(f"the reference fixtures are not at {path}")
    return path


@pytest.fixture(scope="session")
def moleculenet_dir(tmp_path_factory):
    """A copy of the raw MoleculeNet files, where DeepChem's loaders look."""
    source = SHARED / "data" / "moleculenet"
    if not source.is_dir():
        pytest.skip(f"the raw MoleculeNet files are not at {source}")
    path = tmp_path_factory.mktemp("moleculenet")
    for file in source.iterdir():
        shutil.copy(file, path)
    before = os.environ.get("DEEPCHEM_DATA_DIR")
    os.environ["DEEPCHEM_DATA_DIR"] = str(path)
    yield path
    if before is None:
        del os.environ["DEEPCHEM_DATA_DIR"]
    else:
        os.environ["DEEPCHEM_DATA_DIR"] = before


class Here:
    """The `graphsam` command in this process, which saves seconds of imports."""

    def __init__(self, monkeypatch, capsys):
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments):
        self._monkeypatch.setattr(sys, "argv",
                                  ["graphsam", *map(str, arguments)])
        self.returncode = 0
        try:
            main()
        except SystemExit as end:
            self.returncode = end.code or 0
        self.stdout, self.stderr = self._capsys.readouterr()
        return self


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    logger = logging.getLogger("deepchem_graphsam")
    before = logger.handlers, logger.level
    yield Here(monkeypatch, capsys)
    logger.handlers, logger.level = before
