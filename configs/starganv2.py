"""StarGAN v2 on horses and zebras: one translator for all domains, led by styles.

`python train.py --config=configs/starganv2.py --workdir=runs/starganv2`. Any folder with a folder a domain
does as well, `--config.data.source=folder:animals --config.data.labels=classes`.
Source: Choi et al. 2020, section 3 and appendix; networks are a quarter as wide.

2,290 of its steps were made on a CPU, in 50 minutes beside other work: animals are where they were, coats and
backgrounds take a reference's colours, details are blotches. See docs/styles.md.
"""

from ml_collections import ConfigDict

from configs import base

FILES = "horse2zebra_128.tar"
STEPS, BATCH = 3000, 8


def get_config() -> ConfigDict:
    """At 64x64, for 2 CPU cores: 3,000 steps where the paper has 100,000, at five times its rates.

    The weight of diversity falls to 0 over the run, as the paper's does.
    """
    config = base.get_config()
    config.data.source = f"mixture:folder:{FILES}/trainA,folder:{FILES}/trainB"
    config.data.labels = "domains"
    config.data.size, config.data.random_crop, config.data.flip = (72, 72), (64, 64), True
    config.task.name, config.model.family = "styles", "starganv2"
    config.model.conditional, config.model.latent_size = True, 16
    config.model.generator.width = config.model.discriminator.width = 16
    config.model.starganv2.widest, config.model.starganv2.mapping_units = 128, 128
    config.model.starganv2.plain, config.model.starganv2.style_size = 1, 32
    config.model.starganv2.mapping_rate = 0.1
    config.penalties.r1 = 1.0
    config.terms.style, config.terms.style_diversity, config.terms.cycle = 1.0, 1.0, 2.0
    config.schedules = (("terms.style_diversity", "linear", 1.0, 0.0, 0.0, STEPS * BATCH / 1000),)
    for player in config.optimizer.values():
        player.update(learning_rate=5e-4, b1=0.0, b2=0.99)
    config.alternation.fresh_fakes = False
    config.batch_size, config.steps = BATCH, STEPS
    config.ema.half_life = 1000.0
    return config
