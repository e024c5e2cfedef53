"""Inception against tests/inception.npz, which benchmarks/agreement_inception.py --fixture wrote.

It holds every 16th feature that torch-fidelity 0.4 ('tf1') and pytorch-fid 0.3 make of two pictures, with the
weights of inception_state.py, which are random.
"""

import functools
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from inception_state import pictures, state
from PIL import Image

from jaxgan import metrics
from jaxgan.features import inception_layers, weights
from jaxgan.features.inception import inception
from jaxgan.features.inception_layers import STAGES
from jaxgan.interop import files
from jaxgan.interop.pickles import WeightsError

HERE = Path(__file__).parent
DATA = Path(os.environ.get("JAXGAN_DATA", "nowhere"))
REAL = DATA / "weights" / "inception2015_to_mixed7.npz"
with np.load(HERE / "inception.npz") as arrays:
    THEIRS = {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A file with pytorch-fid's names."""
    path = tmp_path_factory.mktemp("weights") / "theirs.npz"
    np.savez(path, **state())
    return path


@pytest.fixture(scope="module")
def first_stages(theirs):
    """What a file of ours holds up to features of 192."""
    named = inception_layers.named(inception_layers.read(theirs).variables)
    return {
        f"{name}/{leaf}": named[f"{name}/{leaf}"] for s in (64, 192) for name in STAGES[s] for leaf in "wb"
    }


@functools.cache
def made(path, size, resize="tf1", biased=None):
    """Ours of the pictures: features, or logits where it is said whether they are biased."""
    extractor = inception(size, path, resize=resize, biased=bool(biased))
    function = extractor.apply if biased is None else extractor.logits
    return np.asarray(jax.jit(function)(extractor.variables, pictures()))


@pytest.mark.parametrize("resize", ["tf1", "pytorch-fid"])
@pytest.mark.parametrize("size", STAGES)
def test_features_are_those_of_torch_fidelity_and_of_pytorch_fid(theirs, resize, size):
    ours, expected = made(theirs, size, resize)[:, ::16], THEIRS[f"{resize} {size}"]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * expected.max())


@pytest.mark.parametrize(("name", "biased"), [("logits_unbiased", False), ("logits", True)])
def test_logits_are_those_of_torch_fidelity(theirs, name, biased):
    expected = THEIRS[f"tf1 {name}"]
    ours = made(theirs, 2048, biased=biased)[:, ::16]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_protocols_are_told_apart(theirs):
    found = [made(theirs, 64, resize) for resize in ("tf1", "clean", "pytorch-fid")]
    scale = found[0].max()
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(found[i] - found[j]).max() > 1e-3 * scale
    said = {inception(64, theirs, resize=resize).resize for resize in ("tf1", "clean", "pytorch-fid")}
    assert len(said) == 3


def test_an_extractor_says_what_it_is(theirs):
    extractor = inception(768, theirs, resize="clean", dtype=jnp.bfloat16, biased=True)
    assert (extractor.name, extractor.size) == ("inception-768-biased-bfloat16", 768)
    assert extractor.digest == weights.digest(theirs) and extractor.resize.startswith(
        "clean, Pillow's bicubic"
    )
    assert inception(path=theirs).name == "inception-2048"


def test_compiled_is_plain_grey_is_colour_and_alpha_is_refused(theirs):
    extractor = inception(64, theirs)
    grey = jnp.asarray(pictures()[..., :1], jnp.float32)
    plain = extractor.apply(extractor.variables, grey)
    assert plain.shape == (2, 64) and plain.dtype == jnp.float32
    colour = jax.jit(extractor.apply)(extractor.variables, jnp.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(colour, plain, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="put transparent ones on a background"):
        extractor.apply(extractor.variables, jnp.zeros((1, 8, 8, 4)))


def test_bfloat16_is_near_and_comes_out_as_float32(theirs):
    extractor = inception(64, theirs, dtype=jnp.bfloat16)
    features = np.asarray(jax.jit(extractor.apply)(extractor.variables, pictures()))
    expected = made(theirs, 64)
    assert features.dtype == np.float32
    assert 1e-4 < np.abs(features - expected).max() / expected.max() < 0.02


def test_what_is_not_offered_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="size is 1024, expected one of 64, 192, 768, 2048"):
        inception(1024, "nowhere.npz")
    with pytest.raises(ValueError, match="resize is 'torch', expected one of tf1, clean, pytorch-fid"):
        inception(64, "nowhere.npz", resize="torch")


# Files


def test_a_file_of_the_first_stages_makes_their_features_alone(theirs, first_stages, tmp_path):
    halves = {name: array.astype(np.float16) for name, array in first_stages.items()}
    np.savez(tmp_path / "part.npz", **halves)
    files.write(tmp_path / "part.safetensors", first_stages)
    np.testing.assert_array_equal(made(tmp_path / "part.safetensors", 192), made(theirs, 192))
    np.testing.assert_allclose(made(tmp_path / "part.npz", 192), made(theirs, 192), rtol=0.02, atol=0.01)
    assert inception(192, tmp_path / "part.npz").logits is None
    with pytest.raises(WeightsError, match="up to features of 192 numbers.*ask for one of 64, 192"):
        inception(768, tmp_path / "part.npz")


def test_files_that_are_not_of_this_network_are_refused_with_hash_names_and_shapes(first_stages, tmp_path):
    path = tmp_path / "wrong.npz"
    wrong = {**first_stages, "conv_1/w": np.zeros((3, 3, 32, 64), np.float32)}
    del wrong["conv_2/b"]
    np.savez(path, **wrong, odd=np.zeros(3))
    with pytest.raises(WeightsError) as refused:
        inception(64, path)
    said = str(refused.value)
    assert weights.digest(path) in said and "conv_2/b is missing" in said and "odd has no place" in said
    assert "conv_1/w (3, 3, 32, 64) becomes (3, 3, 32, 64), our conv_1.kernel is (3, 3, 32, 32)" in said


def test_truncated_files_objects_and_missing_ones_are_refused(theirs, tmp_path):
    cut = tmp_path / "cut.npz"
    cut.write_bytes(theirs.read_bytes()[:100_000])
    with pytest.raises(WeightsError, match=f"cut.npz, of SHA-256 {weights.digest(cut)}: it is no .npz"):
        inception(64, cut)
    named = cut.rename(tmp_path / "inception-6726825d.pth")
    with pytest.raises(WeightsError, match="100,000 bytes of SHA-256 .* which does not begin with 6726825d"):
        inception(64, named)
    np.savez(tmp_path / "objects.npz", conv=np.asarray([{}], object))
    with pytest.raises(WeightsError, match="objects.npz, of SHA-256 .*: it is no .npz of plain arrays"):
        inception(64, tmp_path / "objects.npz")
    with pytest.raises(FileNotFoundError):
        inception(64, tmp_path / "none.npz")


def test_batch_normalisation_is_folded_into_kernel_and_bias():
    """3 (k x - 2) / sqrt(4 + 0.001) + 5 = (3 k / 2.00025) x + 5 - 6 / 2.00025, with k = 7."""
    arrays = [np.full((1, 1, 1, 1), 7.0), *(np.full(1, value) for value in (3.0, 5.0, 2.0, 4.0))]
    kernel, bias = inception_layers.FOLDED.ours(*(array.astype(np.float32) for array in arrays))
    assert kernel.item() == pytest.approx(21 / 4.001**0.5) and bias.item() == pytest.approx(
        5 - 6 / 4.001**0.5
    )


# The published file


@pytest.fixture
def published(theirs, tmp_path, monkeypatch):
    """Publishes a file, and has an empty cache."""
    from jaxgan.features import inception as module

    def publish(digest=None, path=theirs):
        size = theirs.stat().st_size
        told = weights.Published(path.as_uri(), size, digest or weights.digest(theirs))
        monkeypatch.setattr(module, "PUBLISHED", told)

    monkeypatch.setattr(weights, "cache", lambda: tmp_path / "cache")
    return publish


def test_the_published_file_is_downloaded_and_converted_once(theirs, published, tmp_path, capsys):
    published()
    extractor = inception(64)
    assert capsys.readouterr().err == (
        f"Downloading {theirs.as_uri()} ({theirs.stat().st_size:,} bytes), once ...\n"
    )
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["inception-2015-12-05.safetensors"]
    published(path=tmp_path / "gone" / "theirs.npz", digest=extractor.digest)
    again = inception(2048)
    assert not capsys.readouterr().err
    assert again.digest == extractor.digest == weights.digest(theirs)
    jax.tree.map(np.testing.assert_array_equal, again.variables, inception(64, theirs).variables)


def test_a_damaged_conversion_is_made_anew(published, tmp_path, capsys):
    published()
    whole = inception(64)
    path = tmp_path / "cache" / "inception-2015-12-05.safetensors"
    damaged = bytearray(path.read_bytes())
    damaged[-5] ^= 1
    path.write_bytes(damaged)
    capsys.readouterr()
    again = inception(64)
    assert "Downloading" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, again.variables, whole.variables)


def test_processes_may_download_the_published_file_at_once(published, tmp_path, monkeypatch):
    published()
    download = weights.download

    def during(*given):
        download(*given)
        monkeypatch.setattr(weights, "download", download)
        inception(64)  # another process, from its beginning to its end

    monkeypatch.setattr(weights, "download", during)
    inception(64)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["inception-2015-12-05.safetensors"]


def test_another_file_than_the_published_one_is_not_kept(theirs, published, tmp_path):
    published(digest="0" * 64)
    with pytest.raises(WeightsError, match=f"SHA-256 {weights.digest(theirs)}, expected .* of {'0' * 64}"):
        inception(64)
    assert not list((tmp_path / "cache").iterdir())


def test_without_a_way_to_the_published_file_its_address_is_told(published, tmp_path):
    address = tmp_path / "gone.npz"
    published(path=address)
    with pytest.raises(WeightsError, match=f"{address.as_uri()} could not be downloaded.*give its path"):
        inception(64)
    assert not list((tmp_path / "cache").iterdir())


# Real weights


# Every 192nd feature of 768 of the pictures, by torch-fidelity 0.4 with these weights.
REAL_FEATURES = [[0.09940019, 0.01585278, 0.00010513, 0.0], [0.09399558, 0.00898058, 0.00116447, 0.0]]


@pytest.mark.skipif(not REAL.exists(), reason="JAXGAN_DATA has no weights/inception2015_to_mixed7.npz")
def test_real_weights_make_torch_fidelitys_features_and_end_at_768():
    np.testing.assert_allclose(made(REAL, 768)[:, ::192], REAL_FEATURES, rtol=1e-4, atol=1e-7)
    with pytest.raises(WeightsError, match="up to features of 768 numbers.*pytorch-fid's file"):
        inception(2048, REAL)


@pytest.mark.skipif(not (DATA / "cifar10").exists(), reason="JAXGAN_DATA has no cifar10")
def test_real_weights_tell_noise_from_images():
    """Of 20 images a set, two a class: these tests run programs that compile fast, and take 0.3 s for one."""
    tiles = [np.asarray(Image.open(DATA / "cifar10" / f"train_{label}.webp")) for label in range(10)]
    images = [tile.reshape(50, 32, 50, 32, 3).swapaxes(1, 2).reshape(-1, 32, 32, 3)[:4] for tile in tiles]
    first, second = (np.concatenate([each[part] for each in images]) for part in (slice(0, 2), slice(2, 4)))
    noise = np.random.default_rng(0).integers(0, 256, first.shape)
    extractor = inception(768, REAL)
    apply = functools.partial(jax.jit(extractor.apply), extractor.variables)
    moments = [metrics.Moments.of(np.asarray(apply(images))) for images in (first, second, noise)]
    alike, unlike = (metrics.frechet_distance(moments[0], other) for other in moments[1:])
    assert 0 < alike < unlike / 2
