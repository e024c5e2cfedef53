"""Features of a set of images, made in one compiled pipeline over all devices, and kept for the next time."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

import jaxgan
from jaxgan import metrics
from jaxgan.data.sources import fingerprint_of
from jaxgan.evaluation.sets import ImageSet
from jaxgan.features.extractors import Extractor
from jaxgan.files import whole

BATCH = 50  # images a device at a time
KEPT = 4 * 2**30  # bytes of features in the user's cache folder, beyond which the oldest go
NEIGHBOURS = 5  # of each image, as far as figures look


@dataclass(frozen=True, eq=False)
class Features:
    """What a network makes of a set of images, and what several figures are made of, each made once.

    Attributes:
      features: float32 [N,D].
      logits: float32 [N,K] of the network's own classes, or None.
      labels: int32 [N] of the set, or None.
    """

    features: np.ndarray
    logits: np.ndarray | None
    labels: np.ndarray | None

    @cached_property
    def moments(self) -> metrics.Moments:
        """Their mean and covariance."""
        return metrics.Moments.of(self.features)

    @cached_property
    def manifold(self) -> metrics.Manifold:
        """What they cover, for every k that is used."""
        return metrics.manifold(self.features, k=NEIGHBOURS, arithmetic=np.float32)


def collect(
    images: ImageSet,
    extractor: Extractor,
    *,
    batch: int = 0,
    devices: Sequence[jax.Device] | None = None,
    progress: str = "",
) -> Features:
    """Makes the images' features, or finds them kept from an earlier time.

    Args:
      images: the set.
      extractor: of the features.
      batch: images at a time, over all devices; 0 is 50 for each.
      devices: that share the work: by default all, of all processes, which then must all call this.
      progress: what a bar on stderr says; "" shows none.
    """
    path = _place(images, extractor)
    arrays = _load(path) if path else None
    if not _everywhere(arrays is not None) or arrays is None:
        arrays = _compute(images, extractor, batch, tuple(devices or jax.devices()), progress)
        if path:
            _keep(path, arrays)
    return Features(arrays["features"], arrays.get("logits"), images.labels)


def _compute(
    images: ImageSet, extractor: Extractor, batch: int, devices: tuple[jax.Device, ...], progress: str
) -> dict[str, np.ndarray]:
    def make(replicated: NamedSharding) -> Callable[..., dict[str, jax.Array]]:
        return _pipeline(images.pixels, extractor.apply, extractor.logits, replicated)

    return run_over(images, make, extractor.variables, batch=batch, devices=devices, progress=progress)


def run_over(
    images: ImageSet,
    make: Callable[[NamedSharding], Callable[..., dict[str, jax.Array]]],
    weights: Any,
    *,
    batch: int = 0,
    devices: Sequence[jax.Device] | None = None,
    progress: str = "",
) -> dict[str, np.ndarray]:
    """Runs a program over all images of a set, a batch after the other.

    Args:
      images: the set.
      make: (how what comes out is laid on the devices) -> the jitted program, (the set's variables, weights,
        inputs) -> arrays [B,...] by name.
      weights: arrays that the program takes.
      batch, devices, progress: see `collect`.

    Returns:
      Arrays [N,...] of the host, by name.
    """
    from tqdm import tqdm

    devices = tuple(devices or jax.devices())
    mesh = Mesh(np.array(devices), ("data",))
    batch = -(-(batch or BATCH * len(devices)) // len(devices)) * len(devices)
    batch = min(batch, -(-images.length // len(devices)) * len(devices))
    replicated, split = NamedSharding(mesh, P()), NamedSharding(mesh, P("data"))
    run = make(replicated)
    variables, weights = _place_on(replicated, (dict(images.variables), weights))
    parts: list[dict[str, np.ndarray]] = []
    hidden = not (progress and sys.stderr.isatty())
    with tqdm(total=images.length, desc=progress, unit=" images", disable=hidden) as bar:
        ahead = None  # the next batch is on its way while this one is fetched
        for start in range(0, images.length, batch):
            # The last one is filled up: one compilation.
            indices = np.resize(np.arange(start, min(start + batch, images.length)), batch)
            following = run(variables, weights, _place_on(split, images.inputs(indices)))
            if ahead is not None:
                parts.append(jax.device_get(ahead))
                bar.update(batch)
            ahead = following
        parts.append(jax.device_get(ahead))
        bar.update(images.length - bar.n)
    return {name: np.concatenate([part[name] for part in parts])[: images.length] for name in parts[0]}


@lru_cache(maxsize=8)
def _pipeline(
    pixels: Callable[..., jax.Array],
    apply: Callable[..., jax.Array],
    logits: Callable[..., jax.Array] | None,
    replicated: NamedSharding,
) -> Callable[..., dict[str, jax.Array]]:
    """(variables, weights, inputs) -> features, and logits; compiled once for all variables."""

    @partial(jax.jit, out_shardings=replicated)
    def run(variables: dict[str, Any], weights: Any, inputs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        images = pixels(**variables, **inputs)
        images = images.astype(jnp.float32) / (jnp.iinfo(images.dtype).max / 255)
        # Left to themselves, GPUs and TPUs multiply float32 in fewer digits, and features are others.
        with jax.default_matmul_precision("highest"):
            made = {"features": apply(weights, images)}
            return made if logits is None else made | {"logits": logits(weights, images)}

    return run


def _place_on(sharding: NamedSharding, tree: Any) -> Any:
    def place(leaf: Any) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(leaf)))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree)


# What is kept


def _everywhere(found: bool) -> bool:
    """Whether every process of a run has found features: what one has to make, all do."""
    if jax.process_count() == 1:
        return found
    return bool(np.all(multihost_utils.process_allgather(np.bool_(found))))


def _place(images: ImageSet, extractor: Extractor) -> Path | None:
    if not images.fingerprint:
        return None
    said = [images.fingerprint, extractor.name, extractor.digest, extractor.resize, extractor.size]
    said += [extractor.logits is not None, jax.default_backend(), jaxgan.__version__]
    name = hashlib.sha256(json.dumps(said).encode()).hexdigest()
    return user_cache_path("jaxgan") / "features" / f"{name}.safetensors"


def _load(path: Path) -> dict[str, np.ndarray] | None:
    """What was kept; None where nothing is, or what is damaged."""
    try:
        with safe_open(path, "numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
            digest = (file.metadata() or {}).get("sha256")
        os.utime(path)
    except (OSError, SafetensorError):
        return None
    return arrays if digest == fingerprint_of(arrays) else None


def _keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes features where they are found next time; features that cannot be kept are no error."""
    try:
        with whole(path) as temporary:
            save_file(arrays, temporary, {"sha256": fingerprint_of(arrays)})
        files = sorted(path.parent.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files[:-1]:
            if total > KEPT:
                total -= file.stat().st_size
                file.unlink()
    except (OSError, SafetensorError) as error:
        print(f"Features are not kept for the next time: {error}", file=sys.stderr)
