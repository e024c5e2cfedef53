"""Penalties and regularisers: pure functions, and how a training step takes them."""

from jaxgan.penalties.functions import (
    Critic,
    LogitAverages,
    approximate_r1,
    consistency,
    diversity,
    gradient_penalty,
    interpolate,
    lecam,
    orthogonal,
    orthogonal_kernels,
    path_length,
    perturb,
    r1,
    r2,
    update_averages,
    update_length,
)
from jaxgan.penalties.scene import PENALTIES, Penalty, Scene, make_consistency

__all__ = [
    "PENALTIES",
    "Critic",
    "LogitAverages",
    "Penalty",
    "Scene",
    "approximate_r1",
    "consistency",
    "diversity",
    "gradient_penalty",
    "interpolate",
    "lecam",
    "make_consistency",
    "orthogonal",
    "orthogonal_kernels",
    "path_length",
    "perturb",
    "r1",
    "r2",
    "update_averages",
    "update_length",
]
