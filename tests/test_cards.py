"""Files of ours: what is saved is what is loaded, and nothing else is taken for it."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from safetensors.numpy import save_file

from jaxgan.interop import cards, files, sequential
from jaxgan.interop.pickles import WeightsError
from jaxgan.models import dcgan, resnet
from jaxgan.models.families import FAMILIES

NETWORK = dcgan.Generator((8, 8, 1), num_classes=3, width=4, smallest=2, remat=True, dtype=jnp.bfloat16)
INPUTS = jnp.zeros((1, 5)), jnp.zeros(1, jnp.int32)
CARD = {"licence": "CC0-1.0", "metrics": {"fid": 3.5, "kid": float("nan")}, "training_data": "digits"}


def variables_of(network, *inputs):
    return jax.jit(partial(network.init, train=True))(jax.random.key(0), *inputs)


@pytest.fixture(scope="module")
def variables():
    return variables_of(NETWORK, *INPUTS)


@pytest.fixture
def path(tmp_path, variables):
    cards.save(tmp_path / "g.safetensors", variables, network=NETWORK, inputs=INPUTS, card=CARD)
    return tmp_path / "g.safetensors"


def test_what_is_saved_is_loaded_with_its_network_and_card(path, variables):
    network, loaded, card = cards.load(path)
    assert network == NETWORK.clone(remat=False)
    assert jax.tree.structure(loaded) == jax.tree.structure(jax.tree.map(np.asarray, variables))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.asarray(a).tobytes() == b.tobytes(), variables, loaded))
    assert card["architecture"] == {
        "network": "dcgan generator", "image_shape": [8, 8, 1], "num_classes": 3, "width": 4, "smallest": 2,
        "dtype": "bfloat16",
    }  # fmt: skip
    assert card["licence"] == "CC0-1.0" and card["metrics"] == {"fid": 3.5, "kid": "nan"}
    assert card["config"] is None and card["jaxgan"]
    assert set(files.read(path)) == set(files.read_safetensors(path)[0])


def test_a_tower_of_layers_is_not_built(tmp_path):
    told = {"network": "vit generator", "image_shape": [8, 8, 1], "depth": 100_000}
    card = {"architecture": told, "inputs": [{"shape": [1, 4], "dtype": "float32"}]}
    metadata = {cards.KEY: json.dumps(card)}
    save_file({"params.x": np.zeros(1, np.float32)}, tmp_path / "g.safetensors", metadata)
    with pytest.raises(WeightsError, match="depth 100000, and there are 1 leaves"):
        cards.load(tmp_path / "g.safetensors")


def test_a_file_is_not_written_over_unless_asked(path, variables):
    before = path.read_bytes()
    other = jax.tree.map(lambda leaf: leaf + 1, variables)
    with pytest.raises(FileExistsError, match="exists: give another name"):
        cards.save(path, other, network=NETWORK, inputs=INPUTS)
    assert path.read_bytes() == before
    cards.save(path, other, network=NETWORK, inputs=INPUTS, overwrite=True)
    assert path.read_bytes() != before and [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (dcgan.Discriminator((8, 8, 1), heads=(("codes", 2),), width=4, norm="spectral"), (1, 8, 8, 1)),
        (resnet.Generator((8, 8, 1), width=4, multiples=(2,)), (1, 6)),
        (sequential.Generator((sequential.Dense(8), sequential.Grid(2, 2), sequential.BatchNorm())), (1, 3)),
    ],
)  # fmt: skip
def test_networks_of_every_kind_are_told_in_json_and_built_again(network, inputs, tmp_path):
    inputs = (jnp.zeros(inputs),)
    cards.save(tmp_path / "a.safetensors", variables_of(network, *inputs), network=network, inputs=inputs)
    assert cards.load(tmp_path / "a.safetensors").network == network


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_can_be_told(name):
    family = FAMILIES[name]
    for player in (family.generator, family.discriminator):
        fields = {"image_shape": (8, 12, 2), "input_shape": (8, 12, 1), "num_classes": 3}
        fields |= {"dtype": jnp.bfloat16}
        network = player(**{name: fields[name] for name in fields if name in player.__dataclass_fields__})
        assert cards.build(json.loads(json.dumps(cards.architecture(network)))) == network


def test_variables_of_another_network_and_cards_that_are_not_json_are_refused(tmp_path, variables):
    save = partial(cards.save, tmp_path / "a.safetensors", variables, inputs=INPUTS)
    with pytest.raises(
        WeightsError, match=r"Dense_0.kernel is float32 \(8, 32\), expected float32 \(8, 64\)"
    ):
        save(network=NETWORK.clone(width=8))
    with pytest.raises(WeightsError, match="The card is not JSON"):
        save(network=NETWORK, card={"config": object()})
    with pytest.raises(WeightsError, match="A Dense has no name in a card"):
        cards.architecture(nn.Dense(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda card: None, "it has no card of ours"),
        (lambda card: [], "it has no card of ours"),
        (lambda card: {}, "its card is damaged"),
        (lambda card: card | {"inputs": [{"shape": "x"}]}, "its card is damaged"),
        (lambda card: card | {"inputs": []}, "its card is damaged"),
        (lambda card: card | {"architecture": {"network": "os.system"}}, "there is no os.system"),
        (lambda card: card | {"architecture": card["architecture"] | {"parent": 1}}, "with attributes"),
        (lambda card: card | {"architecture": card["architecture"] | {"width": 8}}, "not the network's"),
        (lambda card: card | {"architecture": card["architecture"] | {"width": "x"}}, "its card is damaged"),
    ],
)
def test_a_file_whose_card_is_not_its_own_is_refused(change, match, path):
    leaves, about = files.read_safetensors(path)
    changed = json.dumps(change(json.loads(about[cards.KEY])))
    save_file(leaves, path, metadata={cards.KEY: changed})
    with pytest.raises(WeightsError, match=match):
        cards.load(path)
    save_file(leaves, path, metadata={cards.KEY: "{" * 2000})
    with pytest.raises(WeightsError, match="its card is damaged"):
        cards.load(path)
