"""pytorch-fid's sides of `benchmarks/fid_speed.py`, which starts them.

`python -m benchmarks.peers.fid FOLDER SIZE written|best`, by a python that has pytorch-fid, torchvision and
PyTorch. Written to stdout is what `benchmarks/fid_speed_ours.py` writes.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

# A torchvision that is built for another PyTorch lacks its operators, none of which are used here.
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

from pytorch_fid import fid_score, inception  # noqa: E402

BATCH = 50  # pytorch-fid's own


def main(folder: Path, size: int, side: str) -> None:
    """Measures."""
    with np.load(folder / "state.npz") as arrays:
        state = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    inception.load_state_dict_from_url = lambda *_, **__: state
    network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[size]])
    if side == "best":
        network = network.to(memory_format=torch.channels_last)
    paths = sorted((folder / "images").glob("*.png"))
    workers = min(8, os.cpu_count() or 1)  # as its command chooses
    fid_score.get_activations(paths[:BATCH], network, BATCH, size, "cpu", 0)
    start, busy = time.perf_counter(), cores()
    first = time.time() - float(os.environ["STARTED"])
    features = fid_score.get_activations(paths, network, BATCH, size, "cpu", workers)
    end, busy = time.perf_counter(), cores() - busy
    halves = np.array_split(features, 2)
    moments = [(half.mean(axis=0), np.cov(half, rowvar=False)) for half in halves]
    distance = fid_score.calculate_frechet_distance(*moments[0], *moments[1])
    said = {
        "rate": len(paths) / (end - start),
        "busy": busy / len(paths),
        "first": first,
        "distance": time.perf_counter() - end,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "value": float(distance),
    }
    print(json.dumps(said))


def cores() -> float:
    """Seconds of all cores so far, those of workers that are done included."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
