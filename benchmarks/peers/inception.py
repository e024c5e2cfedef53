"""pytorch-fid's and torch-fidelity's side of `benchmarks/agreement_inception.py`.

`python -m benchmarks.peers.inception FOLDER`, by a python that has both packages and PyTorch, reads

- FOLDER/state.npz: a state dict of pytorch-fid's network, which it writes to FOLDER/weights.pth too,
- FOLDER/pictures.npy: uint8 [N,H,W,3],
- FOLDER/first and FOLDER/second: folders of .png files,

and writes FOLDER/theirs.npz: of the pictures, features called 'tf1 768' (torch-fidelity's) and
'pytorch-fid 768', and as 'tf1 FID 768' each package's distance between the folders by its own pipeline.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

# A torchvision that is built for another PyTorch lacks its operators, none of which are used here.
LIBRARY = torch.library.Library("torchvision", "FRAGMENT")
LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torch_fidelity  # noqa: E402
from pytorch_fid import fid_score, inception  # noqa: E402
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # noqa: E402

SIZES = (64, 192, 768, 2048)
OUTPUTS = (*map(str, SIZES), "logits_unbiased", "logits")


def main() -> None:
    """Writes what is asked for."""
    folder = Path(sys.argv[1])
    with np.load(folder / "state.npz") as state:
        torch.save({name: torch.from_numpy(state[name]) for name in state.files}, folder / "weights.pth")
    load = partial(torch.load, folder / "weights.pth", weights_only=True)
    inception.load_state_dict_from_url = lambda *_, **__: load()
    found = features(folder) | distances(folder)
    arrays: dict[str, Any] = {name: np.asarray(each) for name, each in found.items()}
    np.savez(folder / "theirs.npz", **arrays)


def features(folder: Path) -> dict[str, Any]:
    """Of the pictures, by each package's network."""
    pictures = torch.from_numpy(np.load(folder / "pictures.npy")).permute(0, 3, 1, 2)
    fidelity = FeatureExtractorInceptionV3(
        "inception", list(OUTPUTS), feature_extractor_weights_path=folder / "weights.pth"
    )
    network = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[size] for size in SIZES])
    with torch.no_grad():
        found = dict(zip((f"tf1 {name}" for name in OUTPUTS), fidelity(pictures), strict=True))
        for size, grid in zip(SIZES, network.eval()(pictures / 255), strict=True):
            found[f"pytorch-fid {size}"] = grid.mean((2, 3))
    return found


def distances(folder: Path) -> dict[str, float]:
    """Between the folders, each package by itself."""
    first, second = str(folder / "first"), str(folder / "second")
    found = {}
    for size in SIZES:
        found[f"pytorch-fid FID {size}"] = fid_score.calculate_fid_given_paths(
            [first, second], 16, "cpu", size, 0
        )
        measured = torch_fidelity.calculate_metrics(
            input1=first,
            input2=second,
            fid=True,
            cuda=False,
            cache=False,
            verbose=False,
            feature_layer_fid=str(size),
            feature_extractor_weights_path=str(folder / "weights.pth"),
            batch_size=16,
        )
        found[f"tf1 FID {size}"] = measured["frechet_inception_distance"]
    return found


if __name__ == "__main__":
    main()
