"""The examples run, and the documentation's commands and links are real."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECORDS = sorted((ROOT / "docs" / "records").glob("*.json"))
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, ROOT / "examples" / script, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env=os.environ.copy())


def test_a_bare_pytorch_loop():
    lines = run("pytorch_loop.py").stdout.splitlines()
    assert [line.split("after")[1] for line in lines] == [
        " 100 passes for 100 steps", " 200 passes for 100 steps",
        " 105 passes for 100 steps"
    ]


def test_a_stock_model():
    lines = run("stock_model.py", "--epochs", "2").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["Adam", "GraphSAM"]
    assert all(0.3 < float(line.split()[3]) < 3 for line in lines)


def test_a_lightning_module():
    pytest.importorskip("lightning")
    out = run("lightning_module.py", "--epochs", "3").stdout
    assert out.endswith(" after 63 passes for 60 steps\n")


@pytest.mark.slow
def test_bbbp(moleculenet_dir):
    assert "roc_auc_score" in run("bbbp.py", "--epochs", "2").stdout


def test_comparing_networks_goes_on_where_it_stopped(tmp_path):
    """On the set that is always there; the second command has nothing left to train."""
    arguments = ("--dataset", "chembl2321810", "--backbones", "gcn", "--seeds",
                 "1", "--epochs", "1", "--output", tmp_path / "out.json")
    first = run("compare_backbones.py", *arguments).stdout
    assert "backbone gcn" in first and "| gcn |" in first
    again = run("compare_backbones.py", *arguments).stdout
    assert "backbone gcn" not in again and "| gcn |" in again


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_the_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_pages_exist(page):
    """Every ``graphsam COMMAND --option`` of the pages is known to the command."""
    from typer.main import get_command

    from deepchem_graphsam.cli import app
    commands = get_command(app).commands
    pattern = rf"graphsam ((?:{'|'.join(commands)})\b[^`\n|#]*)"
    for line in re.findall(pattern, page.read_text()):
        words = line.split()
        known = {
            name for parameter in commands[words[0]].params
            for name in (*parameter.opts, *parameter.secondary_opts)
        } | {"--help", "-h"}
        for word in words[1:]:
            if word.startswith("--"):
                assert word.split("=")[0] in known, f"{page.name}: {line}"


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.stem)
def test_the_tables_of_records_are_generated(record, monkeypatch, capsys):
    """Whoever changes a number changes a run."""
    content = json.loads(record.read_text())
    script = content.get("script", "compare_strategies.py")
    page = record.parent / content.get("page", "README.md")
    monkeypatch.syspath_prepend(ROOT / "examples")
    monkeypatch.setattr(sys, "argv", [script, "--table", str(record)])
    importlib.import_module(Path(script).stem).main()
    assert capsys.readouterr().out.strip() in page.read_text()
