"""Trains a config on images from a file: `python benchmarks/train_npz.py CONFIG NPZ RUN [FIELD=VALUE ...]`.

The file holds `image` uint8 [N,H,W,C] and `label` int [N]. Prints one JSON object: seconds of the whole run,
the median over its lines of metrics of images a second, and the process's peak memory.
"""

import ast
import json
import resource
import runpy
import statistics
import sys
import time

import jax
import numpy as np

from jaxgan import data, report, training


def main(config_file: str, npz: str, workdir: str, *changes: str) -> None:
    """Trains and prints."""
    config = runpy.run_path(config_file)["get_config"]()
    for change in changes:
        name, _, value = change.partition("=")
        config.update_from_flattened_dict({name: ast.literal_eval(value)})
    with np.load(npz) as arrays:
        source = data.from_arrays(arrays["image"], arrays["label"], name=npz)
    start = time.monotonic()
    run = training.train(config, workdir, source=source)
    lines = report.read_metrics(f"{workdir}/metrics.jsonl")
    paces = [line["speed/images_per_second"] for line in lines if "speed/images_per_second" in line]
    result = {
        "device": jax.devices()[0].device_kind,
        "seconds": round(time.monotonic() - start, 1),
        "images": int(run.state.images),
        "images_per_second": round(statistics.median(paces), 1),
        "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "distance": lines[-1]["distance/sliced_wasserstein"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    sys.path.insert(0, ".")
    main(*sys.argv[1:])
