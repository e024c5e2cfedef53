"""Generative adversarial networks for images in JAX.

Import the room you need: `from jaxgan import losses, penalties, steps`. Nothing is imported here, so
that a loss costs a reader of logits no checkpoint library.
"""

__version__ = "0.1.0"
