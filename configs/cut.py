"""CUT and FastCUT: horses to zebras by one generator, without a cycle.

`python train.py --config=configs/cut.py --workdir=runs/cut`, or `configs/cut.py:fastcut`. Data and
networks are those of `configs/horse2zebra.py`. Source: Park et al. 2020, section 4 and appendix C.

Not measured: of its 4,000 steps 251 were made on a CPU, too few to see anything; on digits see
notebooks/translating.ipynb.
"""

from ml_collections import ConfigDict

from configs import horse2zebra

# Weights of the comparison of patches, and of its identity; whether inputs are mirrored.
PRESETS = {"cut": (1.0, 1.0, False), "fastcut": (10.0, 0.0, True)}


def get_config(preset: str = "cut") -> ConfigDict:
    """The config of a preset."""
    if preset not in PRESETS:
        raise ValueError(f"There is no preset {preset!r}; expected one of {', '.join(PRESETS)}.")
    config = horse2zebra.get_config()
    config.task.name = config.model.family = "contrastive"
    config.model.contrastive.blocks, config.model.contrastive.discriminator_halvings = 3, 2
    config.terms.cycle = config.terms.identity = 0.0
    config.terms.nce, config.terms.nce_identity, config.task.mirror = PRESETS[preset]
    return config
