"""Figures of prdc, torch-fidelity, scikit-image and pytorch-msssim, for `benchmarks/agreement_neighbours.py`.

`python figures.py ARRAYS.npz`, in a python that has them: prints a JSON object, {case: {figure: value}}.
"""

import contextlib
import io
import json
import sys

import numpy as np
import torch
from prdc import compute_prdc
from pytorch_msssim import ms_ssim
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch_fidelity.metric_prc import calculate_precision_recall_full

Figures = dict[str, float]


def of_features(real: np.ndarray, fake: np.ndarray) -> Figures:
    """[N,D], [M,D] -> figures by name, k and peer."""
    found: Figures = {}
    for k in (3, 5):
        with contextlib.redirect_stdout(io.StringIO()):
            prdc = compute_prdc(real, fake, k)
        found |= {f"{name} k={k}, prdc": float(value) for name, value in prdc.items()}
        values = calculate_precision_recall_full(torch.tensor(fake), torch.tensor(real), k)
        for name, value in zip(("precision", "recall"), values, strict=True):
            found[f"{name} k={k}, torch-fidelity"] = float(value)
    return found


def of_images(images: np.ndarray, targets: np.ndarray) -> Figures:
    """Two images [H,W,C] in [0, 255] -> figures by name and peer."""
    ssim = structural_similarity(
        images, targets, data_range=255, gaussian_weights=True, use_sample_covariance=False, channel_axis=-1
    )
    found = {
        "psnr, scikit-image": float(peak_signal_noise_ratio(images, targets, data_range=255)),
        "ssim, scikit-image": float(ssim),
    }
    if min(images.shape[:2]) > 160:
        pair = (torch.tensor(x).permute(2, 0, 1)[None] for x in (images, targets))
        found["ms_ssim, pytorch-msssim"] = float(ms_ssim(*pair, data_range=255))
    return found


if __name__ == "__main__":
    with np.load(sys.argv[1], allow_pickle=False) as arrays:
        cases = {name.removesuffix("/0") for name in arrays.files if name.endswith("/0")}
        pairs = {case: (arrays[f"{case}/0"], arrays[f"{case}/1"]) for case in sorted(cases)}
    print(
        json.dumps(
            {case: (of_features if a.ndim == 2 else of_images)(a, b) for case, (a, b) in pairs.items()}
        )
    )
