"""What sets of features must be, and what biases figures of them."""

import numpy as np


def check_features(features: np.ndarray) -> list[str]:
    """Refuses what no figure can be made of, and says what biases figures.

    Args:
      features: [N,D], float32 or float64.

    Returns:
      Notes, sentences to be shown beside the figures; none where nothing is the matter.

    Raises:
      ValueError: other arrays, fewer than 2 samples, numbers that are not finite.
    """
    if features.ndim != 2 or features.dtype not in (np.float32, np.float64) or not features.shape[1]:
        raise ValueError(
            f"Features are float32 or float64 [N,D], got {features.dtype} {list(features.shape)}."
        )
    count, size = features.shape
    if count < 2:
        raise ValueError(f"There are features of {count} images, and figures of a set need 2 or more.")
    # Rows that are wrong show in their sums, without a second array of all features' size.
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = np.flatnonzero(~np.isfinite(features.sum(axis=1, dtype=np.float64)))
    if len(wrong):
        raise ValueError(
            f"Features of {len(wrong)} of {count} images are not finite, the first of image {wrong[0]}; "
            "see whether the images are, and whether the network's weights are whole."
        )
    notes = []
    if count <= size:
        notes.append(
            f"{count} samples of {size} dimensions leave the covariance singular: a Frechet distance is far "
            f"above that of many samples, and comparable only at the same count; take more than {size}."
        )
    if (features == features[0]).all():
        notes.append("All features are the same: the images are constant, or the generator has collapsed.")
    return notes


def check_pair(first: np.ndarray, second: np.ndarray) -> None:
    """Two sets of features that can be compared, or a ValueError."""
    check_features(first)
    check_features(second)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"Features have {first.shape[1]} and {second.shape[1]} dimensions; compare those of one network."
        )


def check_logits(logits: np.ndarray) -> None:
    """Finite logits [N,K] of 2 classes or more, or a ValueError."""
    if logits.ndim != 2 or not len(logits) or logits.shape[1] < 2:
        raise ValueError(f"Logits are [N,K] of 2 classes or more, got {list(logits.shape)}.")
    if not np.isfinite(logits).all():
        raise ValueError("Some logits are not finite; see whether the network's weights are whole.")
