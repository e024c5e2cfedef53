"""DINOv2 against a plain module in torch 2.13 (and its `interpolate`), on weights and images by a formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan.features.dinov2 import dinov2, interpolated
from jaxgan.interop import files
from jaxgan.interop.pickles import WeightsError

WIDTH = 128  # two heads
BLOCK = {
    "norm1.weight": (WIDTH,), "norm1.bias": (WIDTH,), "attn.qkv.weight": (3 * WIDTH, WIDTH),
    "attn.qkv.bias": (3 * WIDTH,), "attn.proj.weight": (WIDTH, WIDTH), "attn.proj.bias": (WIDTH,),
    "ls1.gamma": (WIDTH,), "norm2.weight": (WIDTH,), "norm2.bias": (WIDTH,),
    "mlp.fc1.weight": (4 * WIDTH, WIDTH), "mlp.fc1.bias": (4 * WIDTH,), "mlp.fc2.weight": (WIDTH, 4 * WIDTH),
    "mlp.fc2.bias": (WIDTH,), "ls2.gamma": (WIDTH,),
}  # fmt: skip
SHAPES = {
    "cls_token": (1, 1, WIDTH), "pos_embed": (1, 1 + 37 * 37, WIDTH), "mask_token": (1, WIDTH),
    "patch_embed.proj.weight": (WIDTH, 3, 14, 14), "patch_embed.proj.bias": (WIDTH,),
    **{f"blocks.{i}.{name}": shape for i in range(2) for name, shape in BLOCK.items()},
    "norm.weight": (WIDTH,), "norm.bias": (WIDTH,),
}  # fmt: skip
TORCHS = [  # the first features of two images
    [-0.75673294, -1.37972128, -1.19787538, -0.49281070, 0.26029360, 1.20485079],
    [-0.76165444, -1.37838602, -1.15810204, -0.43026331, 0.28189158, 1.23924875],
]
NORMS = [11.328792, 11.319619]
# Of a grid 5x5 with 3 features, after the class token's: all of a grid 3x3, and some places of one 7x7.
SMALLER = [
    [0.37981847, 0.05217046, -0.30214006], [-0.18426754, 0.38964641, 0.76442611],
    [0.01036225, -0.31364596, -0.47736108], [-0.21237965, 0.23115006, 0.55654734],
    [-0.24620555, -0.81619596, -0.96905810], [0.25937819, 0.54088229, 0.54596108],
    [-0.10738759, -0.41431504, -0.50950110], [0.58814418, 0.80818927, 0.61519808],
    [-0.40993965, -0.47232896, -0.29332805],
]  # fmt: skip
LARGER = {
    1: [0.98471910, 0.24500908, -0.61991632], 2: [-0.37744480, -0.67411405, -0.62626815],
    8: [0.90197223, 0.89004582, 0.42324919], 25: [-0.24242665, -0.82536232, -0.98648518],
    49: [-1.12102807, -0.95400333, -0.29942220],
}  # fmt: skip


def waves(shape, phase):
    return np.sin(0.7310585 * np.arange(np.prod(shape)) + phase).reshape(shape)


def weights():
    made = {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        inputs = np.prod(shape[1:])
        if len(shape) > 1:
            made[name] = waves(shape, i) * (2 / np.sqrt(inputs) if name.endswith("weight") else 1)
        else:
            made[name] = 0.1 * waves(shape, i) + (
                name.endswith("gamma") or ("norm" in name and "weight" in name)
            )
    return {name: array.astype(np.float32) for name, array in made.items()}


def images(size):
    y, x, c = np.meshgrid(np.arange(size), np.arange(size), np.arange(3), indexing="ij")
    made = [127.5 + 127.5 * np.sin(0.3 * (i + 1) * y + 0.2 * x * (c + 1) + c) for i in range(2)]
    return jnp.asarray(made, jnp.float32)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "dinov2.safetensors"
    files.write(path, weights())
    return dinov2(path)


def test_features_are_torchs(extractor):
    found = jax.jit(extractor.apply)(extractor.variables, images(224))
    assert found.shape == (2, extractor.size) == (2, WIDTH) and found.dtype == jnp.float32
    np.testing.assert_allclose(found[:, :6], TORCHS, atol=1e-5)
    np.testing.assert_allclose(jnp.linalg.norm(found, axis=1), NORMS, rtol=1e-6)
    assert extractor.name == "dinov2-128" and extractor.logits is None and len(extractor.digest) == 64


def test_positions_are_interpolated_as_torch_does_by_the_published_scale():
    positions = waves((1, 26, 3), 0.0).astype(np.float32)
    smaller, larger = interpolated(positions, 3)[0], interpolated(positions, 7)[0]
    np.testing.assert_array_equal(smaller[0], positions[0, 0])
    np.testing.assert_allclose(smaller[1:], SMALLER, atol=1e-6)
    np.testing.assert_allclose(larger[[*LARGER]], [*LARGER.values()], atol=1e-6)
    assert interpolated(positions, 5) is positions


@pytest.mark.parametrize("size", [32, 300])
def test_images_are_resized_as_pillow_does_but_for_rounding(extractor, size):
    """Features of what Pillow makes in floats, which it does not clip, are those of the images."""
    grey = np.where(np.asarray(images(size))[..., 1] > 127.5, 255.0, 0.0).astype(np.float32)
    pillows = [
        np.asarray(Image.fromarray(each).resize((224, 224), Image.Resampling.BICUBIC)) for each in grey
    ]
    assert min(each.min() for each in pillows) < -5.0  # the cubic overshoots
    theirs, ours = (
        jax.jit(extractor.apply)(extractor.variables, np.stack(each)[..., None])
        for each in (np.clip(pillows, 0.0, 255.0), grey)
    )
    np.testing.assert_allclose(theirs, ours, atol=1e-4)


def test_grey_images_are_repeated_and_alpha_is_refused(extractor):
    grey = images(32)[..., :1]
    apply = jax.jit(extractor.apply)
    found, same = (apply(extractor.variables, x) for x in (grey, jnp.tile(grey, (1, 1, 1, 3))))
    np.testing.assert_allclose(found, same, atol=1e-6)
    with pytest.raises(ValueError, match="background"):
        extractor.apply(extractor.variables, jnp.zeros((1, 32, 32, 4)))


WRONG = {
    "no network of this kind": ({name: None for name in SHAPES}, "0 blocks .* expected those of DINOv2"),
    "a width without heads": ({"cls_token": np.zeros((1, 1, 96), np.float32)}, "F a multiple of 64"),
    "positions of no grid": ({"pos_embed": np.zeros((1, 1371, 128), np.float32)}, "expected those of DINOv2"),
    "registers": ({"register_tokens": np.zeros((1, 4, 128), np.float32)}, "register_tokens has no place"),
    "a layer missing": ({"blocks.1.mlp.fc2.weight": None}, r"blocks\.1\.mlp\.fc2\.weight is missing"),
    "a layer of another shape": ({"norm.bias": np.zeros(64, np.float32)}, r"norm\.bias \(64,\) becomes"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_weights_of_another_network_are_refused(kind, tmp_path):
    changed, message = WRONG[kind]
    made = {name: array for name, array in (weights() | changed).items() if array is not None}
    files.write(tmp_path / "a.safetensors", made or {"w": np.zeros(1, np.float32)})
    with pytest.raises(WeightsError, match=message):
        dinov2(tmp_path / "a.safetensors")
