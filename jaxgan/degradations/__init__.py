"""What makes good images worse: shrinking, blur, noise and JPEG compression, each example by its own key.

Images are [B,H,W,C] floats in [-1, 1], keys [B]. A pipeline of them makes the small or spoilt images from
which a network is to make the good ones.
"""

from jaxgan.degradations.blurring import anisotropic_blur, filter_each, gaussian_blur
from jaxgan.degradations.compression import LEVEL, as_8_bits, jpeg
from jaxgan.degradations.pipeline import SHRINK, STEPS, Degradation, Spec, make_degradation
from jaxgan.degradations.resizing import bicubic

__all__ = [
    "LEVEL",
    "SHRINK",
    "STEPS",
    "Degradation",
    "Spec",
    "anisotropic_blur",
    "as_8_bits",
    "bicubic",
    "filter_each",
    "gaussian_blur",
    "jpeg",
    "make_degradation",
]
