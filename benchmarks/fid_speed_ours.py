"""Our side of `fid_speed.py`, which starts it: `python -m benchmarks.fid_speed_ours FOLDER SIZE BATCH`.

Written to stdout is a JSON object: images/s after the first batch, seconds of all cores an image, seconds
until the first batch and for the distance, the peak of memory in bytes, and the distance.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from jaxgan import metrics, parallel
from jaxgan.data import decoding
from jaxgan.features.inception import inception


def main(folder: Path, size: int, batch: int) -> None:
    """Measures."""
    parallel.tune_xla()
    extractor = inception(size, folder / "state.npz", resize="pytorch-fid")
    apply = jax.jit(extractor.apply)
    paths = sorted((folder / "images").glob("*.png"))
    np.asarray(apply(extractor.variables, next(read(paths, batch))))
    start, busy = time.perf_counter(), time.process_time()
    first = time.time() - float(os.environ["STARTED"])
    made = parallel.ahead(read(paths, batch), lambda images: apply(extractor.variables, images))
    features = np.concatenate([np.asarray(part) for part in made])[: len(paths)]
    end, busy = time.perf_counter(), time.process_time() - busy
    halves = np.array_split(features, 2)
    distance = metrics.frechet_distance(*map(metrics.Moments.of, halves))
    said = {
        "rate": len(paths) / (end - start),
        "busy": busy / len(paths),
        "first": first,
        "distance": time.perf_counter() - end,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "value": distance,
    }
    print(json.dumps(said))


def read(paths: list[Path], batch: int) -> Iterator[np.ndarray]:
    """Batches of uint8 images, the last filled up."""
    for start in range(0, len(paths), batch):
        images = [decoding.decode(path.read_bytes(), name=path.name) for path in paths[start : start + batch]]
        yield np.stack([*images, *[images[-1]] * (batch - len(images))])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:4]))
