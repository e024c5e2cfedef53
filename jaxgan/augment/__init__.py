"""Differentiable augmentation of what a discriminator sees, and the controller of its strength."""

from jaxgan.augment.controller import Controller, adapt, sign_mean, start_controller
from jaxgan.augment.pipeline import OPERATIONS, POLICIES, Augment, make_augment
from jaxgan.augment.strength import Augmentation, adaptive, fixed, scheduled

__all__ = [
    "OPERATIONS",
    "POLICIES",
    "Augment",
    "Augmentation",
    "Controller",
    "adapt",
    "adaptive",
    "fixed",
    "make_augment",
    "scheduled",
    "sign_mean",
    "start_controller",
]
