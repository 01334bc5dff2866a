"""What somebody relies on who leaves a run alone: kills, full disks, flat memory."""

import logging
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from small import SMILES, dataset, model, weights

from deepchem_graphsam._host import dc
from deepchem_graphsam.models import SharpnessAwareFit
from deepchem_graphsam.models.files import write_json
from deepchem_graphsam.optim import SAM, GraphSAM

LONG_RUN = Path(__file__).with_name("long_run.py")
AUC = dc.metrics.Metric(dc.metrics.roc_auc_score)


def start(folder):
    return subprocess.Popen(
        [sys.executable, str(LONG_RUN),
         str(folder)],
        stdout=subprocess.PIPE,
        text=True)


def finish(folder):
    process = start(folder)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return out.splitlines()[-1]


def kill_at_random(folder, times, seed):
    """Kill a real process with -9, `times` over, at random moments of training."""
    rng, kills = random.Random(seed), 0
    while kills < times:
        process = start(folder)
        if process.stdout.readline().strip() == "training":
            time.sleep(rng.uniform(0, 0.6))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        else:  # it got to the end: begin a new run
            for file in Path(folder).glob("*"):
                file.unlink()
        process.stdout.close()


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path):
    whole = finish(tmp_path / "whole")
    kill_at_random(tmp_path / "killed", 2, seed=0)
    assert finish(tmp_path / "killed") == whole
    assert sorted(os.listdir(tmp_path /
                             "killed")) == ["checkpoint1.pt", "checkpoint2.pt"]


@pytest.mark.slow
def test_twenty_kills(tmp_path):
    whole = finish(tmp_path / "whole")
    kill_at_random(tmp_path / "killed", 20, seed=1)
    assert finish(tmp_path / "killed") == whole


# --- failures -----------------------------------------------------------------------


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_nan_names_step_batch_and_smiles(accumulate):
    data = dataset("regression")
    data.X[3].node_features[0, 0] = np.nan
    m = model("regression", accumulate=accumulate, batch_size=3)
    with pytest.raises(FloatingPointError) as caught:
        m.fit(data, nb_epoch=1)
    message = str(caught.value)
    assert "the loss is nan at step" in message
    named = message.split("The batch: ")[1].split(", ")
    assert len(named) == 3 and SMILES[3] in named


def test_a_full_disk_is_named_and_leaves_the_last_checkpoint(tmp_path):
    code = ("import resource, sys; sys.path.insert(0, sys.argv[1])\n"
            "from small import model, dataset\n"
            "m = model(model_dir=sys.argv[2]); m.fit(dataset(), nb_epoch=1)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
            "try: m.fit(dataset(), nb_epoch=1)\n"
            "except OSError as error: print(error)\n"
            "m.restore()\n")
    done = subprocess.run(
        [sys.executable, "-c", code,
         str(LONG_RUN.parent),
         str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True)
    assert f"cannot write {tmp_path}" in done.stdout
    assert "File too large" in done.stdout
    assert os.listdir(tmp_path) == ["checkpoint1.pt"]


def test_a_metric_of_the_other_mode_is_refused():
    data, rms = dataset(), dc.metrics.Metric(dc.metrics.rms_score)
    for call in (lambda: model().fit(data, valid=data, metric=rms),
                 lambda: model().evaluate(data, [rms])):
        with pytest.raises(ValueError,
                           match="rms_score is a metric of regression"):
            call()


def test_a_validation_set_without_a_score_is_refused():
    data = dataset()
    one_class = dc.data.NumpyDataset(data.X, np.zeros((12, 1)))
    with pytest.raises(ValueError, match="no value on the validation set"):
        model().fit(data, nb_epoch=1, valid=one_class, metric=AUC)


def test_colleagues_may_read_what_the_umask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "record.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["record.json"]


# --- what is seen meanwhile ------------------------------------------------------------


def test_a_bar_a_log_or_silence(capfd, caplog):
    options = {"nb_epoch": 2, "valid": dataset(), "metric": AUC}
    with caplog.at_level(logging.INFO, logger="deepchem_graphsam"):
        model().fit(dataset(), progress=True, **options)
        bar = capfd.readouterr().err
        assert "4/4" in bar and "graphs/s" in bar and "valid=" in bar
        assert caplog.text == ""
        model().fit(dataset(), progress=False, **options)
        assert capfd.readouterr().err == "" and caplog.text == ""
        model().fit(dataset(), **options)
    lines = [record.message for record in caplog.records]
    assert [line[:9] for line in lines] == ["epoch 1: ", "epoch 2: "]
    assert all(
        word in lines[0] for word in ("loss", "valid", "graphs/s", "s left"))


def test_a_notebook_shows_a_bar(capfd, monkeypatch):
    """Its standard error is no terminal, and it shows no log; IPython sets ``sys.ps1``."""
    monkeypatch.setattr("sys.ps1", "In : ", raising=False)
    model().fit(dataset(), nb_epoch=2)
    assert "4/4" in capfd.readouterr().err


def test_tensorboard_and_wandb_get_losses_and_scores(tmp_path):
    pytest.importorskip("tensorboard")

    class Logger:
        """The interface of DeepChem's WandbLogger."""
        initialized, seen = True, []

        def update_config(self, config):
            pass

        def log_data(self, data, step):
            self.seen.append((step, *data))

    m = model(tensorboard=True,
              wandb_logger=Logger(),
              log_frequency=2,
              model_dir=str(tmp_path))
    m.fit(dataset(), nb_epoch=2, valid=dataset(), metric=AUC)
    assert Logger.seen == [(2, "train/loss"), (2, "eval/valid"),
                           (4, "train/loss"), (4, "eval/valid")]
    m._summary_writer.flush()
    from tensorboard.backend.event_processing.event_accumulator import \
        EventAccumulator
    events = EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "valid"}
    assert [e.step for e in events.Scalars("valid")] == [2, 4]


# --- options ------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["base", "sam", "graphsam"])
def test_accumulation_trains_as_the_joint_batch(strategy):
    """In float64, with labels missing unevenly, so that shares matter."""
    data, ends = dataset(n_tasks=2, missing=True), []
    for batch_size, accumulate in ((12, 1), (3, 4), (5, 3)):
        m = model(n_tasks=2,
                  strategy=strategy,
                  batch_size=batch_size,
                  accumulate=accumulate,
                  learning_rate=1e-3)
        m.model.double()
        original = m._prepare_batch

        def prepare(batch, original=original):
            molecules, y, w = original(batch)
            return ([b.to(dtype=torch.float64) for b in molecules],
                    [t.double() for t in y], [t.double() for t in w])

        m._prepare_batch = prepare
        m.fit(data, nb_epoch=3, deterministic=True)
        assert m.get_global_step() == 3
        ends.append(weights(m))
    assert torch.allclose(ends[0], ends[1], rtol=1e-6, atol=1e-9)
    assert torch.allclose(ends[0], ends[2], rtol=1e-6, atol=1e-9)


def test_bf16_autocast_trains_close_to_float32():
    losses = []
    for autocast in (None, torch.bfloat16):
        m = model(autocast=autocast, learning_rate=1e-3)
        m.fit(dataset(), nb_epoch=20)
        assert all(p.dtype == torch.float32 for p in m.model.parameters())
        assert m.predict(dataset()).dtype == np.float32
        losses.append([r["loss"] for r in m.history])
    assert losses[0] != losses[1]
    np.testing.assert_allclose(*losses, rtol=0.15, atol=0.05)
    with pytest.raises(ValueError, match="needs a gradient scaler"):
        model(autocast=torch.float16)


def test_class_weights_agree_with_deepchems_transformer():
    data, ends = dataset(n_tasks=2, missing=True), []
    balanced = dc.trans.BalancingTransformer(data).transform(data)
    for train, option in ((balanced, None), (data, "balanced")):
        m = model(n_tasks=2, class_weight=option)
        m.fit(train, nb_epoch=3)
        ends.append(weights(m))
    assert torch.equal(*ends)
    with pytest.raises(ValueError, match="class_weight is None or"):
        model("regression", class_weight="balanced")


def test_gradient_clipping_reaches_the_strategy():
    m = model(max_grad_norm=1e-9,
              optimizer=dc.models.optimizers.GradientDescent(1.0))
    before = weights(m)
    m.fit(dataset(), nb_epoch=1)
    assert 0 < (weights(m) - before).norm() < 1e-8


def test_deterministic_keeps_the_order():
    m, seen = model(), []
    m.fit(dataset(),
          nb_epoch=2,
          deterministic=True,
          callbacks=lambda m, step: seen.extend(m._batch_ids))
    assert seen == SMILES * 2


def test_warm_start_and_frozen_backbone(tmp_path):
    first = model("regression", norm="scale")
    first.fit(dataset("regression"), nb_epoch=1)
    first.save(tmp_path)
    second = type(first).warm_start(tmp_path,
                                    n_tasks=3,
                                    mode="classification",
                                    batch_size=6,
                                    seed=1)
    backbone = second.model.network.backbone
    expected = first.model.network.backbone.state_dict()
    assert all(
        torch.equal(value, expected[name])
        for name, value in backbone.state_dict().items())
    assert second.config == first.config
    second.freeze_backbone()
    head = second.model.network.head.state_dict()["0.weight"].clone()
    second.fit(dataset(n_tasks=3), nb_epoch=2)
    assert all(
        torch.equal(value, expected[name])
        for name, value in backbone.state_dict().items())
    assert not torch.equal(second.model.network.head.state_dict()["0.weight"],
                           head)
    second.freeze_backbone(False)
    second.fit(dataset(n_tasks=3), nb_epoch=1)
    assert not all(
        torch.equal(value, expected[name])
        for name, value in backbone.state_dict().items())


def test_grid_search_finds_the_better_model(tmp_path):
    data = dataset()

    def build(**options):
        return model(learning_rate=options.pop("rate"), **options)

    search = dc.hyper.GridHyperparamOpt(build)
    best, chosen, scores = search.hyperparam_search(
        {
            "rate": [1e-9, 3e-3],
            "rho": [0.01]
        },
        data,
        data,
        AUC,
        nb_epoch=30,
        logdir=str(tmp_path))
    assert chosen == {"rate": 3e-3, "rho": 0.01} and len(scores) == 2
    assert best.evaluate(data, [AUC])["roc_auc_score"] == max(scores.values())


# --- memory ----------------------------------------------------------------------------


def resident():
    """Bytes of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(),
                    reason="resident memory is read from Linux's /proc")
@pytest.mark.parametrize("strategy", ["sam", "graphsam"])
def test_memory_is_flat_over_ten_thousand_steps(strategy):

    class Sharp(SharpnessAwareFit, dc.models.MultitaskRegressor):
        pass

    rng = np.random.default_rng(0)
    data = dc.data.NumpyDataset(rng.random((64, 16)), rng.random((64, 1)))
    m = Sharp(1, 16, layer_sizes=[64], batch_size=64, strategy=strategy, seed=0)
    sizes = {}

    def measure(m, step):
        if step in (1000, 10_000):
            sizes[step] = resident()

    m.fit_generator(
        (batch for _ in range(10_000) for batch in m.default_generator(data)),
        checkpoint_interval=0,
        callbacks=measure)
    assert sizes[10_000] - sizes[1000] < 8 * 2**20


@pytest.mark.slow
def test_memory_does_not_grow_with_a_disk_dataset(moleculenet_dir):
    """HIV, 41,120 molecules in 6 shards: kept whole, and one shard at a time."""
    code = (
        "import resource, sys\n"
        "from deepchem_graphsam._host import dc\n"
        "from deepchem_graphsam import featurizer_for\n"
        "from deepchem_graphsam.data.packed import PackedDataset\n"
        "_, (data,), _ = dc.molnet.load_hiv(featurizer=featurizer_for('compt'),\n"
        "    splitter=None, transformers=[])\n"
        "base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "packed = PackedDataset(data, max_bytes=int(sys.argv[1]))\n"
        "peaks = []\n"
        "for epoch in range(2):\n"
        "    n = sum(len(b[0]) for b in packed.batches(32, True))\n"
        "    assert n == 41120\n"
        "    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "print(base, *peaks)\n")
    peaks = {}
    for limit in (0, 2**30, 0):  # the first fills DeepChem's cache
        done = subprocess.run(
            [sys.executable, "-c", code, str(limit)],
            capture_output=True,
            text=True,
            timeout=600,
            check=True)
        peaks[limit] = [int(x) / 1024 for x in done.stdout.split()[-3:]]
    streamed, kept = peaks[0], peaks[2**30]
    assert streamed[2] - streamed[1] < 50
    assert streamed[2] < kept[2] - 300


# --- other models ----------------------------------------------------------------------


def graphs(featurizer):
    X = featurizer.featurize(["CCO", "CCN", "c1ccccc1", "CC(=O)O"])
    return dc.data.NumpyDataset(X, np.array([[0.], [1.], [0.], [1.]]))


def dmpnn():
    pytest.importorskip("torch_geometric")

    class Sharp(SharpnessAwareFit, dc.models.DMPNNModel):
        pass

    return Sharp, {"n_tasks": 1}, dc.feat.DMPNNFeaturizer()


def attentive_fp():
    pytest.importorskip("dgl")
    pytest.importorskip("dgllife")

    class Sharp(SharpnessAwareFit, dc.models.AttentiveFPModel):
        pass

    return (Sharp, {
        "n_tasks": 1
    }, dc.feat.MolGraphConvFeaturizer(use_edges=True))


def mat():

    class Sharp(SharpnessAwareFit, dc.models.torch_models.MATModel):
        pass

    return Sharp, {"n_encoders": 1, "n_layers": 1}, dc.feat.MATFeaturizer()


@pytest.mark.parametrize("host", [dmpnn, attentive_fp, mat])
@pytest.mark.parametrize("strategy, passes", [("sam", 8), ("graphsam", 6)])
def test_deepchems_graph_models_take_the_training(host, strategy, passes):
    cls, options, featurizer = host()
    data = graphs(featurizer)
    if cls.__mro__[2].__name__ != "MATModel":
        options["mode"] = "regression"
    m = cls(batch_size=2, strategy=strategy, seed=0, **options)
    losses = m.fit(data, nb_epoch=2, progress=False)
    assert np.isfinite(losses) and m.history[-1]["evaluations"] == passes
    assert m.predict(data).shape == (4, 1)
    assert np.isfinite(
        m.evaluate(data,
                   [dc.metrics.Metric(dc.metrics.mae_score)])["mae_score"])


def test_a_modular_model_takes_the_training():
    from deepchem.models.torch_models.modular import ModularTorchModel

    class Modular(ModularTorchModel):

        def __init__(self, **kwargs):
            self.components = {
                "encoder": torch.nn.Linear(4, 8),
                "head": torch.nn.Linear(8, 1)
            }
            super().__init__(self.build_model(), self.components, **kwargs)

        def build_components(self):
            return self.components

        def build_model(self):
            return torch.nn.Sequential(*self.components.values())

        def loss_func(self, inputs, labels, weights):
            error = (self.model(inputs) - labels[0])**2
            return (error * weights[0]).mean()

    class Sharp(SharpnessAwareFit, Modular):
        pass

    rng = np.random.default_rng(0)
    X = rng.random((32, 4)).astype(np.float32)
    data = dc.data.NumpyDataset(X, X.sum(1, keepdims=True))
    ends = []
    for cls, options in ((Modular, {}), (Sharp, {"strategy": "base"})):
        torch.manual_seed(0)
        np.random.seed(0)
        m = cls(batch_size=8, learning_rate=1e-2, **options)
        m.fit(data, nb_epoch=5)
        ends.append(weights(m))
    assert torch.equal(*ends)
    sharp = Sharp(batch_size=8, learning_rate=1e-2, strategy="graphsam")
    first = sharp.fit(data, nb_epoch=1)
    assert sharp.fit(data, nb_epoch=20) < first
    assert isinstance(sharp._pytorch_optimizer, GraphSAM)
    assert not isinstance(sharp._pytorch_optimizer, SAM)
