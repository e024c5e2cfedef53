"""Others' networks in ours: the same outputs, and the same file back."""

import json
from functools import partial
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from parity_weights import drawn, filled

from jaxgan.interop import files, sequential, tables
from jaxgan.interop.layouts import LAYOUTS
from jaxgan.interop.pickles import WeightsError
from jaxgan.models import dcgan, resnet, srresnet, stylegan2

PARITY = Path(__file__).parent / "parity.npz"
LABELS = jnp.int32([0, 2, 1])
BIGGAN = {"num_classes": 3, "width": 8, "smallest": 2, "attention": 4, "norm": "spectral"}
SNGAN = {"width": 8, "smallest": 4, "multiples": (1, 1)}
SEQUENTIAL = sequential.Generator(
    (
        sequential.Dense(24), sequential.Grid(2, 3), sequential.BatchNorm(), sequential.Enlarge(),
        sequential.Conv(5, 3, padding=1), sequential.BatchNorm(0.8), sequential.LeakyRelu(0.2),
        sequential.ConvTransposed(4, 3, stride=2, padding=1, use_bias=False), sequential.LeakyRelu(),
        sequential.Conv(3, 2, stride=2), sequential.Tanh(),
    ),
    num_classes=3,
    embedding=2,
)  # fmt: skip
SEQUENTIAL_NAMES = ["l1.0", *(f"blocks.{i}" for i in (0, 2, 3, 5, 7))]
NETWORKS = {
    "dcgan generator": dcgan.Generator((16, 16, 3), width=4),
    "dcgan discriminator": dcgan.Discriminator((16, 16, 3), width=4, norm="batch"),
    "dcgan spectral discriminator": dcgan.Discriminator((16, 16, 3), width=4, norm="spectral"),
    "sngan generator": resnet.Generator((16, 16, 3), **SNGAN),
    "sngan discriminator": resnet.Discriminator((16, 16, 3), plain=1, **SNGAN),
    "biggan generator": resnet.Generator((8, 8, 3), embedding=5, hierarchical=True, **BIGGAN),
    "biggan discriminator": resnet.Discriminator((8, 8, 3), **BIGGAN),
    "srgan": srresnet.Generator(width=4, blocks=2, bounded=True),
    "srgan prelu": srresnet.Generator(width=4, blocks=2, bounded=True, closing="prelu", scale=3),
    "sequential": SEQUENTIAL,
    "stylegan2 generator": stylegan2.Generator((8, 8, 3), 3, width=6, style_size=5, mapping_depth=2),
    "stylegan2 discriminator": stylegan2.Discriminator((8, 8, 3), 3, width=6, mapping_depth=2),
}
SIZES = {
    "dcgan generator": (3, 5), "sngan generator": (3, 6), "biggan generator": (3, 6), "sequential": (3, 4),
    "srgan": (2, 3, 5, 6), "srgan prelu": (2, 3, 5, 6), "biggan discriminator": (3, 3, 8, 8),
    "stylegan2 generator": (3, 4), "stylegan2 discriminator": (3, 3, 8, 8),
}  # fmt: skip
each_network = pytest.mark.parametrize("name", NETWORKS)


def table_of(name):
    if name == "sequential":
        return sequential.table(SEQUENTIAL, SEQUENTIAL_NAMES, embedding="label_emb")
    return LAYOUTS[name.split()[0]](NETWORKS[name])


def theirs(name):
    """The state dict that PyTorch has for a network, filled; its inputs and outputs, as ours are laid."""
    with np.load(PARITY) as file:
        shapes = json.loads(str(file[f"{name}/shapes"]))
        outputs = file[f"{name}/outputs"]
    inputs = drawn(name, *SIZES.get(name, (3, 3, 16, 16)))
    if name.startswith("srgan"):  # from and to [0, 1]
        inputs, outputs = 2 * inputs - 1, 2 * outputs - 1
    inputs, outputs = (x.transpose(0, 2, 3, 1) if x.ndim == 4 else x for x in (inputs, outputs))
    labels = (LABELS,) if NETWORKS[name].__dict__.get("num_classes") else ()
    weights = filled({key: tuple(shape) for key, shape in shapes.items()})
    return weights, (jnp.asarray(inputs), *labels), outputs


@pytest.fixture(scope="module")
def taken():
    """name -> (variables, what was kept, theirs), once each."""
    made = {}

    def take(name):
        if name not in made:
            weights, inputs, outputs = theirs(name)
            like = tables.template(NETWORKS[name], *inputs)
            made[name] = *tables.take(table_of(name), weights, like), weights, inputs, outputs
        return made[name]

    return take


@each_network
def test_the_same_weights_make_the_same_of_the_same(name, taken):
    variables, _, _, inputs, outputs = taken(name)
    ours = jax.jit(partial(NETWORKS[name].apply, train=False))(variables, *inputs)
    assert ours.shape == outputs.shape and outputs.std() > 0.01
    assert np.abs(ours - outputs).max() < 1e-4 * min(1, np.abs(outputs).max())


def same(first, second):
    assert first.keys() == second.keys()
    for name, array in first.items():
        other = np.asarray(second[name])
        assert (array.shape, array.dtype) == (other.shape, other.dtype), name
        assert array.tobytes() == other.tobytes(), name


@each_network
def test_their_file_comes_back_bit_for_bit(name, taken):
    variables, kept, weights, _, _ = taken(name)
    same(tables.give(table_of(name), variables, kept), weights)
    unused = ("num_batches_tracked", "weight_v", ".bias", "resample_filter", "noise_const")
    aside = {name for name in kept if not name.endswith(unused)}
    assert aside == ({"embed.u0"} if name == "biggan discriminator" else set())


@each_network
def test_our_weights_come_back_bit_for_bit(name, taken):
    inputs = taken(name)[3]
    like = tables.template(NETWORKS[name], *inputs)
    ours = {path: drawn(path, *leaf.shape) for path, leaf in flatten_dict(like, sep=".").items()}
    given = tables.give(table_of(name), unflatten_dict(ours, sep="."))
    back = flatten_dict(tables.take(table_of(name), given, like)[0], sep=".")
    assert not [each for each in given if each.endswith("num_batches_tracked")]
    for path in REMADE.get(name, ()):
        del ours[path], back[path]
    same(back, ours)


# Of these torch has another vector, from which ours is made anew.
REMADE = {
    "biggan discriminator": ["batch_stats.SpectralNorm_1.Dense_1/kernel/u"],
    "dcgan spectral discriminator": [
        "batch_stats.SpectralNorm_0.Dense_0/kernel/sigma",
        "batch_stats.stage_0.SpectralNorm_0.Conv_0/kernel/sigma",
        "batch_stats.stage_1.SpectralNorm_0.Conv_0/kernel/sigma",
    ],
}


def test_what_is_given_is_written_and_read(taken, tmp_path):
    variables, kept, weights, _, _ = taken("dcgan discriminator")
    path = tmp_path / "d.safetensors"
    files.write(path, tables.give(table_of("dcgan discriminator"), variables, kept))
    same(files.read(path), weights)
    with pytest.raises(FileExistsError, match="give another name"):
        files.write(path, weights)


# What does not fit


def refused(name, weights, *expected, like=None):
    with pytest.raises(WeightsError) as caught:
        tables.take(table_of(name), weights, like or tables.template(NETWORKS[name], jnp.zeros((1, 5))))
    for text in expected:
        assert text in str(caught.value)


def test_all_that_does_not_fit_is_listed_in_one_error():
    weights, _, _ = theirs("dcgan generator")
    weights["main.7.weight"] = weights.pop("main.4.bias")
    weights["main.3.weight"] = weights["main.3.weight"][:, :, :3]
    weights["main.0.weight"] = weights["main.0.weight"].reshape(5, 8, 2, 8)
    weights["main.1.weight"] = weights["main.1.weight"].astype(np.float64)
    refused(
        "dcgan generator", weights, "main.4.bias is missing", "main.7.weight has no place",
        "main.3.weight (8, 4, 3, 4) becomes (3, 4, 8, 4), our params.stage_0.Conv_0.kernel is (4,",
        "main.0.weight (5, 8, 2, 8) does not fit params.Dense_0.kernel",
        "main.1.weight (8,) is float64, which does not fit float32, of our params.BatchNorm_0.scale",
    )  # fmt: skip


def test_a_table_of_another_network_is_refused():
    weights, _, _ = theirs("dcgan generator")
    like = tables.template(dcgan.Generator((32, 32, 3), width=4), jnp.zeros((1, 5)))
    refused("dcgan generator", weights, "our params.stage_1.BatchNorm_0.bias is filled by none", like=like)
    larger = dcgan.Generator((32, 32, 3), width=4)
    with pytest.raises(WeightsError, match="our params.stage_1.BatchNorm_0.scale is not in the network"):
        tables.take(
            LAYOUTS["dcgan"](larger), weights, tables.template(NETWORKS["dcgan generator"], jnp.zeros((1, 5)))
        )
    with pytest.raises(WeightsError, match="not of this network"):
        tables.give(LAYOUTS["dcgan"](larger), {"params": {}})


def test_a_leaf_that_is_filled_twice_is_told():
    weights, _, _ = theirs("dcgan generator")
    table = table_of("dcgan generator")
    with pytest.raises(WeightsError, match="our params.Dense_0.kernel is filled 2 times"):
        tables.take(
            (*table, table[0]), weights, tables.template(NETWORKS["dcgan generator"], jnp.zeros((1, 5)))
        )


@pytest.mark.parametrize(
    ("layout", "network", "match"),
    [
        ("dcgan", dcgan.Generator((16, 16, 1), 3), "no names for classes and heads"),
        ("dcgan", dcgan.Discriminator((16, 16, 1), heads=(("codes", 2),)), "no names for classes and heads"),
        ("sngan", resnet.Generator((16, 16, 1), attention=8), "no names for classes, attention"),
        ("sngan", resnet.Discriminator((16, 16, 1), norm="none"), "'spectral' in D"),
        ("biggan", resnet.Generator((16, 16, 1), 3), "has norm 'spectral'"),
        ("biggan", resnet.Generator((16, 16, 1), 3, norm="spectral"), "an embedding that all"),
        ("stylegan2", stylegan2.Generator((16, 16, 1), generator_form="plain"), "the form 'skip' in G"),
        ("stylegan2", stylegan2.Discriminator((16, 8, 1)), "square images"),
    ],
)
def test_what_a_layout_has_no_names_for_is_refused(layout, network, match):
    with pytest.raises(WeightsError, match=match):
        LAYOUTS[layout](network)


@pytest.mark.parametrize("shape", [(), (3,), (16, 1), (2, 2, 2, 2, 2)])
def test_arrays_of_any_other_shape_are_told_and_make_no_fault(shape):
    weights, inputs, _ = theirs("biggan discriminator")
    like = tables.template(NETWORKS["biggan discriminator"], *inputs)
    for name in weights:
        changed = {**weights, name: np.zeros(shape, np.float32)}
        if weights[name].shape != shape:
            refused("biggan discriminator", changed, name, like=like)


def test_another_filter_is_refused():
    weights, _, _ = theirs("stylegan2 generator")
    weights["synthesis.b8.resample_filter"] = np.ones((4, 4), np.float32) / 16
    like = tables.template(NETWORKS["stylegan2 generator"], jnp.zeros((1, 4)), LABELS[:1])
    refused("stylegan2 generator", weights, "a filter other than [1, 3, 3, 1]", like=like)


def test_weights_of_half_precision_become_ours_without_loss():
    weights, inputs, _ = theirs("dcgan generator")
    weights = {name: array.astype(np.float16) if array.ndim else array for name, array in weights.items()}
    like = tables.template(NETWORKS["dcgan generator"], *inputs)
    variables, _ = tables.take(table_of("dcgan generator"), weights, like)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    np.testing.assert_array_equal(variables["params"]["BatchNorm_0"]["bias"], weights["main.1.bias"])


# SRGAN's generator


def test_srresnet_enlarges_images_of_any_size_and_says_what_it_does_not_take():
    for scale in (2, 3, 4):
        network = srresnet.Generator(channels=1, scale=scale, width=4, blocks=1)
        out, variables = jax.eval_shape(
            partial(network.init_with_output, train=True), jax.random.key(0), jnp.zeros((2, 5, 4, 1))
        )
        assert out.shape == (2, 5 * scale, 4 * scale, 1) and set(variables) == {"params", "batch_stats"}
    with pytest.raises(ValueError, match="expected one of 2, 3, 4"):
        tables.template(srresnet.Generator(scale=5), jnp.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"expected \[B,H,W,3\]"):
        tables.template(srresnet.Generator(), jnp.zeros((1, 4, 4, 1)))


def test_srresnet_has_the_parameters_of_its_figure():
    """Ledig et al. 2017, figure 4: k9n64s1, 16 blocks of two k3n64s1, k3n64s1, two k3n256s1, k9n3s1."""
    conv, norm = 9 * 64 * 64 + 64, 2 * 64
    blocks = 16 * (2 * (conv + norm) + 1) + conv + norm
    ends = (81 * 3 * 64 + 64 + 1) + (81 * 64 * 3 + 3) + 2 * (9 * 64 * 256 + 256 + 1)
    params = tables.template(srresnet.Generator(), jnp.zeros((1, 4, 4, 3)))["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == blocks + ends


def test_the_discriminator_of_srgan_has_the_parameters_of_its_figure():
    """Ledig et al. 2017, figure 4: k3 n64, 128, 256, 512, each s1 and s2; of 96x96; dense 1024, dense 1."""
    ends = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convs = sum(9 * i * o + o for i, o in pairwise(ends)) + sum(2 * o for o in ends[2:])
    discriminator = srresnet.Discriminator((96, 96, 3), norm="batch")
    params = tables.template(discriminator, jnp.zeros((1, 96, 96, 3)))["params"]
    dense = 6 * 6 * 512 * 1024 + 1024 + 1024 + 1
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == convs + dense


@pytest.mark.parametrize("norm", srresnet.NORMS)
def test_the_discriminator_of_srgan_judges_images_of_any_shape(norm):
    for remat in (False, True):
        network = srresnet.Discriminator(
            (8, 12, 2), (("codes", 2),), width=2, hidden=4, norm=norm, remat=remat, dtype=jnp.bfloat16
        )
        images = jnp.asarray(drawn(norm, 3, 8, 12, 2))
        make = partial(network.init_with_output, train=True, method="describe")
        (logits, grids, heads), variables = jax.jit(make)(jax.random.key(0), images)
        assert (logits.shape, logits.dtype, heads["codes"].shape) == ((3,), jnp.float32, (3, 2))
        assert [grid.shape for grid in grids] == [(3, 4, 6, 2)] and jnp.isfinite(logits).all()
        paths = set(flatten_dict(variables["params"], sep="."))
        assert {"stage_0.Conv_0.kernel", "stage_0.Conv_1.kernel", "head_codes.kernel"} <= paths
    with pytest.raises(ValueError, match="expected one of none, batch, spectral"):
        tables.template(network.clone(norm="layer"), images)
    with pytest.raises(ValueError, match=r"expected \(8, 12, 2\)"):
        tables.template(network, images[:, :4])


def test_shuffling_puts_channels_where_pixels_are():
    images = jnp.arange(8.0).reshape(1, 1, 1, 8)  # two channels of 2x2 pixels
    np.testing.assert_array_equal(srresnet.shuffle(images, 2)[0, :, :, 1], [[4, 5], [6, 7]])
