"""Others' figures of features, for `agreement_features.py`: `python -m benchmarks.peers.features FILE ...`.

Of each npz file, of `first` and `second`, float32 [N,D], `logits` [N,K], and a `size` of KID's subsets, a
JSON object is written to stdout: {figure: {package: value}}.
"""

import json
import sys
import warnings
from typing import Any

import numpy as np
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

FIDELITY, FID = "torch-fidelity", "pytorch-fid"


def figures(first: np.ndarray, second: np.ndarray, logits: np.ndarray, size: int) -> dict[str, Any]:
    """Those of both packages."""
    a, b = torch.from_numpy(first), torch.from_numpy(second)
    moments = [(np.mean(x, axis=0), np.cov(x, rowvar=False)) for x in (first, second)]
    statistics = [fid_features_to_statistics(x) for x in (a, b)]
    fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    kid = kid_features_to_metric(a, b, kid_subset_size=size, verbose=False)
    score = isc_features_to_metric(torch.from_numpy(logits))
    return {
        "FID": {
            FIDELITY: float(fid),
            FID: float(calculate_frechet_distance(*moments[0], *moments[1])),
        },
        "KID": {FIDELITY: kid["kernel_inception_distance_mean"]},
        "KID's deviation": {FIDELITY: kid["kernel_inception_distance_std"]},
        "IS": {FIDELITY: score["inception_score_mean"]},
        "IS's deviation": {FIDELITY: score["inception_score_std"]},
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # of scipy.linalg.sqrtm's `disp`
    for path in sys.argv[1:]:
        with np.load(path) as file:
            given = file["first"], file["second"], file["logits"], int(file["size"])
            print(json.dumps(figures(*given)), flush=True)
