"""Figures of a classifier's logits, and of the classes that it says."""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax, rel_entr

from jaxgan.metrics.checks import check_logits


class Score(NamedTuple):
    """The mean over splits, and their standard deviation over their number, as papers print it."""

    value: float
    deviation: float


class Modes(NamedTuple):
    """How many modes occur, and the KL divergence of their shares from uniform ones, in nats."""

    found: int
    divergence: float


def inception_score(logits: np.ndarray, *, splits: int = 10, seed: int | None = 2020) -> Score:
    """exp of the mean KL divergence of p(class | image) from p(class).

    Args:
      logits: [N,K] of the network's own classes.
      splits: into how many parts the images are cut, each with a score; the score is biased downwards, the
        more the fewer images a part has.
      seed: of the images' order before they are cut, as torch-fidelity draws it; None keeps the order.

    Raises:
      ValueError: logits that are not finite or no [N,K], more splits than images.

    Source: Salimans et al. 2016, section 4; Barratt & Sharma 2018 on its splits.
    """
    check_logits(logits)
    if not 1 <= splits <= len(logits):
        raise ValueError(f"{splits} splits of {len(logits)} images were asked for; give 1 to {len(logits)}.")
    if seed is not None:
        logits = logits[np.random.RandomState(seed).permutation(len(logits))]
    cuts = [len(logits) * i // splits for i in range(1, splits)]
    scores = [_score(part) for part in np.split(log_softmax(logits.astype(np.float64), axis=1), cuts)]
    return Score(float(np.mean(scores)), float(np.std(scores)))


def _score(logs: np.ndarray) -> float:
    shares = np.exp(logs)
    return float(np.exp(rel_entr(shares, shares.mean(axis=0)).sum(axis=1).mean()))


def class_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest logit is that of the class they were made for.

    Args:
      logits: [N,K], of a classifier of real images.
      labels: [N] int, in [0, K).

    Raises:
      ValueError: logits that are not finite or no [N,K], labels that are others.
    """
    check_logits(logits)
    if labels.shape != logits.shape[:1]:
        raise ValueError(f"There are labels {list(labels.shape)} of logits {list(logits.shape)}, give [N].")
    _check_integers(labels, logits.shape[1])
    return float(np.mean(np.argmax(logits, axis=1) == labels))


def mode_coverage(modes: np.ndarray, number: int) -> Modes:
    """How many modes samples show, and how evenly.

    Args:
      modes: [N] int in [0, number): which mode each sample is of; of stacked digits `numpy.ravel_multi_index(
        digits of three channels, (10, 10, 10))`.
      number: of modes that there are.

    Raises:
      ValueError: no modes, or some out of range.

    Source: Lin et al. 2018 (PacGAN), section 4: 26,000 samples of 1,000 modes. With so many an even spread
    has a divergence of about (number - 1) / 2N by chance.
    """
    if modes.ndim != 1 or not len(modes):
        raise ValueError(f"Modes are [N], one of each sample, got {list(modes.shape)}.")
    _check_integers(modes, number)
    counts = np.bincount(modes, minlength=number)
    divergence = rel_entr(counts / len(modes), np.full(number, 1.0 / number)).sum()
    return Modes(int(np.count_nonzero(counts)), float(divergence))


def _check_integers(values: np.ndarray, below: int) -> None:
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"Labels and modes are integers, got {values.dtype}.")
    wrong = values[(values < 0) | (values >= below)]
    if len(wrong):
        raise ValueError(f"{wrong[:5]} are not in 0 to {below - 1}.")
