"""Every field of an experiment, with its unit and meaning. Experiments are few-line changes to this one.

`python train.py --config=configs/base.py --workdir=runs/base`
"""

from ml_collections import ConfigDict


def optimizer() -> ConfigDict:
    """The fields of one player's optimiser. Source of the defaults: Radford et al. 2016, section 4."""
    return ConfigDict(
        dict(
            name="adam",  # adam, rmsprop or sgd, from optax
            learning_rate=2e-4,
            b1=0.5,  # adam: decay of the gradients' average
            b2=0.999,  # adam: decay of the squared gradients' average
            decay=0.9,  # rmsprop: decay of the squared gradients' average
            momentum=0.0,  # sgd and rmsprop
            schedule="constant",  # constant, linear or cosine: to 0 over the most updates the run can make
            warmup=0,  # updates of this player over which the rate climbs from 0
        )
    )


def phase() -> ConfigDict:
    """The fields of one player's phase."""
    return ConfigDict(
        dict(
            steps=1,  # updates a phase; with `until`, the most that are made
            until="",  # end the phase early when this metric meets the target: accuracy or fooled
            target=0.8,  # share in [0, 1] that the metric has to reach in the player's favour
        )
    )


def get_config() -> ConfigDict:
    """Unconditional digits, DCGAN, non-saturating loss: what every field is when nothing is said."""
    config = ConfigDict()
    config.seed = 0  # of everything random: weights, batches, latents
    config.steps = 2000  # training steps; one is a whole alternation
    config.batch_size = 64  # real images an update, over all devices

    config.data = ConfigDict()
    config.data.source = "tfds:digits"  # tfds:NAME, any image set that TFDS has prepared
    config.data.split = "train"  # TFDS syntax: train, test, train[:80%]
    config.data.data_dir = ""  # where TFDS keeps its sets; empty: its default
    config.data.flip = False  # flip images left to right with probability 1/2
    config.data.placement = "auto"  # device, host, or by size

    config.model = ConfigDict()
    config.model.family = "dcgan"  # dcgan or mlp
    config.model.conditional = False  # tell both players the labels
    config.model.latent_size = 128  # numbers a latent
    config.model.smallest = 4  # dcgan: the smallest grid has at least this many pixels a side
    config.model.dtype = "float32"  # of the computation: float32 or bfloat16
    config.model.generator = ConfigDict(dict(width=64))  # channels next to the image; units of an MLP
    config.model.discriminator = ConfigDict(dict(width=64))
    config.model.discriminator.norm = "none"  # dcgan: none, or batch as in the paper

    config.loss = "non_saturating"  # a name in jaxgan.losses.LOSSES
    config.penalties = ConfigDict()
    config.penalties.r1 = 0.0  # gamma of R1, the gradient penalty on real images; 0: none
    config.penalties.r2 = 0.0  # gamma of R2, the same on fakes

    config.optimizer = ConfigDict(dict(generator=optimizer(), discriminator=optimizer()))

    config.alternation = ConfigDict()
    config.alternation.phases = ("discriminator", "generator")  # one step runs these in turn
    config.alternation.discriminator = phase()
    config.alternation.generator = phase()

    config.ema = ConfigDict(dict(half_life=5000.0))  # of the generator's average, in images

    config.parallel = ConfigDict()
    config.parallel.runner = "jit"  # jit, shard_map or pmap
    config.parallel.devices = 0  # how many of all processes' devices; 0: all
    config.parallel.steps_per_call = 1  # training steps in one compiled call

    config.log = ConfigDict(dict(every=50))  # steps between lines of metrics
    config.sample = ConfigDict()
    config.sample.every = 500  # steps between grids of samples
    config.sample.columns = 10  # samples a row; a row a class, or 8 rows
    config.sample.labels = ()  # the classes shown, by label; empty: the first 16
    config.checkpoint = ConfigDict()
    config.checkpoint.every = 500  # steps between saves
    config.checkpoint.keep = 3  # newest saves kept, beside the best
    config.checkpoint.best_metric = "distance/sliced_wasserstein"  # empty: keep no best
    config.checkpoint.best_mode = "min"  # min or max
    return config
