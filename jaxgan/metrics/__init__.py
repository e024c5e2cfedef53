"""Metrics: distances between sets of images or of their features, and between images.

Features are NumPy arrays [N,D], float32 or float64, of whichever network. Figures of them are made on the
host, in float64 where it matters; what is much work is done in JAX, in tiles.
"""

from jaxgan.metrics.checks import check_features
from jaxgan.metrics.copies import Memorisation, memorisation
from jaxgan.metrics.distances import patch_wasserstein, sliced_wasserstein
from jaxgan.metrics.frechet import (
    ClassDistances,
    Extrapolation,
    class_moments,
    frechet_at_infinity,
    frechet_by_class,
    frechet_distance,
)
from jaxgan.metrics.images import luma, ms_ssim, psnr, ssim
from jaxgan.metrics.intervals import Interval, bootstrap, cut, jackknife
from jaxgan.metrics.kernels import KernelDistance, cmmd, kernel_distance, kernel_distance_of_all
from jaxgan.metrics.moments import Moments
from jaxgan.metrics.neighbours import Manifold, Neighbours, Overlap, manifold, nearest, overlap, realism
from jaxgan.metrics.paths import mean_path_length, perceptual_path_lengths
from jaxgan.metrics.scores import Modes, Score, class_accuracy, inception_score, mode_coverage

__all__ = [
    "ClassDistances",
    "Extrapolation",
    "Interval",
    "KernelDistance",
    "Manifold",
    "Memorisation",
    "Modes",
    "Moments",
    "Neighbours",
    "Overlap",
    "Score",
    "bootstrap",
    "check_features",
    "class_accuracy",
    "class_moments",
    "cmmd",
    "cut",
    "frechet_at_infinity",
    "frechet_by_class",
    "frechet_distance",
    "inception_score",
    "jackknife",
    "kernel_distance",
    "kernel_distance_of_all",
    "luma",
    "manifold",
    "mean_path_length",
    "memorisation",
    "mode_coverage",
    "ms_ssim",
    "nearest",
    "overlap",
    "patch_wasserstein",
    "perceptual_path_lengths",
    "psnr",
    "realism",
    "sliced_wasserstein",
    "ssim",
]
