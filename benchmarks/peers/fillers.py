"""OpenCV's fillers of holes, for `benchmarks/restoration.py`.

`python fillers.py GIVEN.npz FILLED.npz RADIUS`

GIVEN has `images` uint8 [N,H,W,C] of 1 or 3 channels and `masks` uint8 [N,H,W,1], 1 in the hole; FILLED gets
images filled by each method, by its name. RADIUS: pixels around one that it is made of. Needs opencv-python.
"""

import sys
from typing import Any

import cv2
import numpy as np

METHODS = {"Telea": cv2.INPAINT_TELEA, "Navier-Stokes": cv2.INPAINT_NS}


def main(given: str, filled: str, radius: float) -> None:
    """Fills all by each."""
    with np.load(given) as file:
        images, masks = file["images"], file["masks"]
    made: Any = {
        name: np.stack([cv2.inpaint(*pair, radius, method) for pair in zip(images, masks, strict=True)])
        for name, method in METHODS.items()
    }
    np.savez(filled, **{name: images_made.reshape(images.shape) for name, images_made in made.items()})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
