"""The message-passing networks as models: they learn, are restored, and take every strategy."""

import numpy as np
import pytest

from deepchem_graphsam import GraphSAMModel, featurizer_for
from deepchem_graphsam._host import dc
from deepchem_graphsam.data.featurizers import columns_of
from deepchem_graphsam.optim import STRATEGIES
from small import SMILES, dataset

SMALL = {
    "gcn": {
        "readout": "sum"
    },
    "mpnn": {
        "d_model": 32,
        "d_edge": 16
    },
    "dmpnn": {
        "d_model": 64,
        "readout": "sum"
    },
    "cmpnn": {
        "d_model": 32
    },
}
# CMPNN multiplies messages with messages, and takes smaller steps.
RATE = {"gcn": 3e-3, "mpnn": 3e-3, "dmpnn": 3e-3, "cmpnn": 1e-3}
backbones = pytest.mark.parametrize("backbone", sorted(SMALL))


def data(backbone, mode="classification", n_tasks=1):
    """The molecules and labels of `small`, with the network's own features."""
    found = dataset(mode, n_tasks)
    X = featurizer_for(backbone).featurize(SMILES)
    return dc.data.NumpyDataset(X, found.y, found.w, found.ids)


def model(backbone, mode="classification", **options):
    return GraphSAMModel(
        backbone, **{
            "mode": mode,
            "seed": 0,
            "batch_size": 6,
            "learning_rate": RATE[backbone],
            **SMALL[backbone],
            **options
        })


@backbones
@pytest.mark.parametrize("mode", ["classification", "regression"])
def test_overfits_a_handful_of_molecules(backbone, mode):
    given = data(backbone, mode, n_tasks=2)
    m = model(backbone, mode, n_tasks=2, batch_size=12)
    m.fit(given, nb_epoch=150)
    if mode == "classification":
        metric = dc.metrics.Metric(dc.metrics.roc_auc_score)
        assert m.evaluate(given, [metric])["roc_auc_score"] > 0.95
    else:
        metric = dc.metrics.Metric(dc.metrics.mae_score)
        assert m.evaluate(given, [metric])["mae_score"] < 0.5


@backbones
def test_reloads_to_equal_predictions(backbone, tmp_path):
    given = data(backbone)
    first = model(backbone, model_dir=str(tmp_path / "run"))
    first.fit(given, nb_epoch=2)
    second = model(backbone, seed=8, model_dir=str(tmp_path / "run"))
    assert not np.array_equal(first.predict(given), second.predict(given))
    second.restore()
    assert np.array_equal(first.predict(given), second.predict(given))
    first.save(tmp_path / "saved")
    saved = GraphSAMModel.load(tmp_path / "saved")
    assert np.array_equal(first.predict_smiles(SMILES),
                          saved.predict_smiles(SMILES))


@backbones
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_trains_it(backbone, strategy):
    given = data(backbone, "regression")
    m = model(backbone, "regression", strategy=strategy)
    start = m.evaluate(given, [dc.metrics.Metric(dc.metrics.mae_score)])
    m.fit(given, nb_epoch=20)
    end = m.evaluate(given, [dc.metrics.Metric(dc.metrics.mae_score)])
    assert end["mae_score"] < start["mae_score"]


@backbones
def test_salts_and_single_atoms_train_and_predict(backbone):
    X = featurizer_for(backbone).featurize(["[Na+].[Cl-]", "[He]", "C"])
    m = model(backbone)
    given = dc.data.NumpyDataset(X, np.array([[0.], [1.], [1.]]))
    assert np.isfinite(m.fit(given, nb_epoch=2))
    assert np.isfinite(m.predict(given)).all()


@backbones
def test_the_defaults_are_its_featurizers_columns(backbone):
    config = model(backbone).config
    columns = columns_of(featurizer_for(backbone))
    assert config.d_atom == columns["d_atom"] and config.d_global == 0
    assert config.d_bond in (None, columns["d_bond"])


def test_gcn_needs_no_bond_features():
    plain = dc.feat.MolGraphConvFeaturizer()
    m = model("gcn", featurizer=plain)
    given = dc.data.NumpyDataset(plain.featurize(["CCO", "CCN"]), np.ones(
        (2, 1)))
    assert np.isfinite(m.fit(given, nb_epoch=1))
    with pytest.raises(ValueError, match="d_bond"):
        model("dmpnn", d_atom=30).fit(given, nb_epoch=1)


@pytest.mark.parametrize("backbone, option, message", [
    ("gcn", {
        "readout": "max"
    }, "readout='max' is none of mean, sum, norm"),
    ("gcn", {
        "n_layers": 0
    }, "n_layers=0 is less than 1"),
    ("mpnn", {
        "n_set2set": 0
    }, "n_set2set=0 is less than 1"),
    ("dmpnn", {
        "messages": "bonds"
    }, "is none of directed, undirected, atoms"),
    ("cmpnn", {
        "kernel": "sum"
    }, "is none of add, product, mlp, gru"),
    ("cmpnn", {
        "activation": "gelu"
    }, "is none of relu"),
])
def test_a_wrong_option_lists_the_choices(backbone, option, message):
    with pytest.raises(ValueError, match=message):
        GraphSAMModel(backbone, **option)
