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
            clip_norm=0.0,  # the longest gradient, all of the player's; 0: any
            clip_adaptive=0.0,  # the longest, of each unit, as a share of its weights' norm; 0: any
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
    # Parts that a device's share is cut into, to take less memory; batches are then normalised by part.
    config.accumulate = 1

    config.data = ConfigDict()
    config.data.source = "tfds:digits"  # tfds:NAME, folder:PATH, arrays:FILE.npz, ...: see jaxgan.data
    config.data.split = "train"  # train, test, train[:80%]
    config.data.data_dir = ""  # where TFDS keeps its sets, and converted files go; empty: its default
    config.data.size = ()  # (height, width) that images are brought to; empty: all have one size
    config.data.fit = "crop"  # other aspects: crop (at the middle), pad, stretch; or tiles: cut into many
    config.data.filter = "lanczos"  # of resizing, antialiased: lanczos, bicubic, bilinear, box; or nearest
    config.data.channels = 0  # 1 grey, 2 with alpha, 3 colour, 4 with alpha; 0: as many as needed
    config.data.background = ()  # (red, green, blue) under transparent images; empty: keep alpha
    config.data.input_size = ()  # the same of inputs and masks; empty: the images'
    config.data.input_half = "left"  # of pictures with two sides, the input's
    config.data.labels = "classes"  # classes, or of a mixture its domains
    config.data.strict = False  # refuse broken files, instead of leaving them out
    config.data.prepare = True  # convert files once, and read the result from then on
    config.data.random_crop = ()  # (height, width) of a random part of each image, another each time
    config.data.flip = False  # flip images left to right with probability 1/2
    config.data.placement = "auto"  # device, host, or by size

    config.task = ConfigDict()
    # Or one that is given images: super_resolution, restoration, paired, cycle, contrastive, shared_latent,
    # styles.
    config.task.name = "synthesis"
    config.task.perceptual = ""  # terms.perceptual: a file of LPIPS's weights
    config.task.scale = 4  # super_resolution: rows and columns made of each
    # super_resolution: how images are made small, ("blur", 0.2, 3.0), ("bicubic",), ..., in this order; ():
    # bicubic. restoration: how they are made bad; (): they get holes. See jaxgan.degradations.
    config.task.degradations = ()
    config.task.pixel = "l1"  # super_resolution: the loss of terms.pixel: l1, l2, charbonnier
    config.task.masks = ("free_form",)  # restoration: kinds of holes: free_form, rectangles, border, side
    config.task.area = (0.25, 0.5)  # restoration: the smallest and the largest hole, as shares of the image
    config.task.known = 0.0  # restoration: of terms.pixel, how much a known pixel counts beside a made one
    config.task.pool = 50  # cycle: fakes of each domain that D is shown again; 0: none
    config.task.mirror = False  # contrastive: what is made of mirrored images is mirrored (FastCUT)
    config.task.temperature = 0.07  # contrastive: of the comparison of patches

    config.model = ConfigDict()
    config.model.family = "dcgan"  # a name in jaxgan.models.families.FAMILIES
    config.model.conditional = False  # tell both players the labels
    config.model.latent_size = 128  # numbers a latent
    config.model.codes = ConfigDict()  # InfoGAN's: the last of these numbers, to be read off the image
    config.model.codes.categorical = ()  # one-hot choices, each among so many, as (10,)
    config.model.codes.continuous = 0  # numbers from -1 to 1
    config.model.smallest = 4  # pixels a side of the smallest grid at least; mlp and vit have none
    config.model.remat = False  # compute blocks anew for the derivative: less memory, more time; not mlp
    config.model.dtype = "float32"  # of the computation: float32 or bfloat16
    config.model.generator = ConfigDict(dict(width=64))  # channels next to the image; units, size of a token
    config.model.generator.norm = "none"  # spectral in resnet; unet, translator, cycle: instance, batch
    config.model.discriminator = ConfigDict(dict(width=64))
    config.model.discriminator.norm = (
        "none"  # dcgan, recurrent: none, spectral, batch; resnet, coupled: or spectral
    )
    config.model.discriminator.labels = "projection"  # how it is told of them, where conditional; or none
    # What one family alone has, by its name.
    config.model.mlp = ConfigDict(dict(depth=3))  # hidden layers
    config.model.resnet = ConfigDict()
    config.model.resnet.generator_multiples = ()  # of its width: channels from the image inwards; (): doubled
    config.model.resnet.discriminator_multiples = ()
    config.model.resnet.embedding = 0  # numbers of a class's code that all of G's blocks share; 0: one-hot
    config.model.resnet.hierarchical = False  # each block of G is given a part of the latents of its own
    config.model.resnet.attention = 0  # height of the grid with self-attention; 0: none
    config.model.resnet.halvings = 0  # by D, of the grid; 0: as often as model.smallest allows
    config.model.resnet.plain = 1  # D's last blocks that keep the smallest grid
    config.model.stylegan2 = ConfigDict()
    config.model.stylegan2.widest = 512  # channels double from the image inwards up to so many
    config.model.stylegan2.style_size = 512  # numbers of a style, and units of the mapping network
    config.model.stylegan2.mapping_depth = 8  # its layers
    config.model.stylegan2.mapping_rate = 0.01  # its learning rate, as a share of the others'
    config.model.stylegan2.mixing = 0.9  # share of the images with styles of two latents, in training
    config.model.stylegan2.style_decay = 0.998  # of the mean of styles, which truncation goes to, a batch
    config.model.stylegan2.generator_form = "skip"  # skip, residual or plain
    config.model.stylegan2.discriminator_form = "residual"  # skip, residual or plain
    config.model.stylegan2.group = 4  # images whose deviation D is told of; 1: none
    config.model.r3gan = ConfigDict()
    config.model.r3gan.multiples = ()  # of the width: channels from the image inwards; (): all alike
    config.model.r3gan.blocks = 2  # of each grid
    config.model.r3gan.expansion = 2  # channels inside a block, as a multiple of those outside
    config.model.r3gan.group_size = 16  # channels of a group of the 3x3 convolutions
    config.model.r3gan.embedding = 64  # numbers of a class's code beside the latents
    config.model.recurrent = ConfigDict()
    config.model.recurrent.steps = 5  # how often the canvas is painted on
    config.model.recurrent.memory = 64  # channels of what is remembered between
    config.model.coupled = ConfigDict()  # of classes or, with data.labels="domains", of domains
    config.model.coupled.generator_shared = 2  # G's first stages that they share, of one more than doublings
    config.model.coupled.discriminator_shared = 2  # D's last stages that they share, of as many
    config.model.vit = ConfigDict()
    config.model.vit.depth = 12  # blocks
    config.model.vit.attention_heads = 6  # parts of a token that attend by themselves
    config.model.vit.patch = 2  # pixels a side that make a token
    config.model.vit.squash = True  # end in tanh, for images; not for latents of an autoencoder

    config.model.srresnet = ConfigDict()  # of super-resolution; its discriminator is rrdb's too
    config.model.srresnet.blocks = 16
    config.model.srresnet.closing = "norm"  # of the trunk: norm or prelu
    config.model.srresnet.tail = "stages"  # how it enlarges: in stages of 2 or 3, or direct
    config.model.srresnet.ends = 9  # pixels a side of the first and last kernel
    config.model.srresnet.skip = False  # add the input, enlarged
    config.model.srresnet.hidden = 1024  # units of D's last hidden layer
    config.model.rrdb = ConfigDict(dict(blocks=23, dense=3, growth=32, hidden=1024))
    config.model.repair = ConfigDict()
    config.model.repair.halvings = 2  # of the grid, by G
    config.model.repair.dilations = (1, 2, 4, 1)  # of the convolutions on the smallest grid
    config.model.repair.convolution = "gated"  # gated, partial or plain
    config.model.repair.stages = 4  # convolutions of D
    # Of images from images; patch discriminators have 70 pixels a logit at 3 halvings.
    config.model.unet = ConfigDict(dict(discriminator_halvings=3, scales=1))
    config.model.unet.depth = 0  # halvings by G; 0: to one pixel, 8 at most
    config.model.unet.dropout = 0.5  # G's noise, in use too
    config.model.translator = ConfigDict(dict(generator_halvings=2, discriminator_halvings=3, scales=1))
    config.model.translator.blocks = 9  # residual ones, of G
    config.model.cycle = ConfigDict(dict(generator_halvings=2, discriminator_halvings=3))
    config.model.cycle.blocks = 9
    config.model.contrastive = ConfigDict(dict(generator_halvings=2, discriminator_halvings=3, scales=1))
    config.model.contrastive.blocks = 9
    config.model.contrastive.compared = ()  # G's stages whose patches are compared; (): the paper's
    config.model.contrastive.patches = 256  # of each stage
    config.model.contrastive.units = 256  # numbers that stand for a patch
    config.model.unit = ConfigDict(dict(generator_halvings=2, discriminator_halvings=5, scales=1))
    config.model.unit.blocks = 4
    config.model.unit.generator_shared = 1  # of these, the encoders' last and decoders' first ones
    config.model.unit.discriminator_shared = 0  # of D's last stages
    config.model.starganv2 = ConfigDict()
    config.model.starganv2.widest = 512  # channels double from width up to so many
    config.model.starganv2.bottleneck = 16  # pixels a side of the translator's smallest grid, at least
    config.model.starganv2.plain = 2  # blocks there before the style comes in, and as many from then on
    config.model.starganv2.style_size = 64
    config.model.starganv2.mapping_units = 512  # of the network that makes styles of latents
    config.model.starganv2.mapping_rate = 0.01  # its learning rate, as a share of the others'

    config.loss = "non_saturating"  # a name in jaxgan.losses.LOSSES
    config.adversarial = 1.0  # weight of this loss in G's objective, beside terms
    config.penalties = ConfigDict()
    config.penalties.r1 = 0.0  # gamma of R1, the gradient penalty on real images; 0: none
    config.penalties.r2 = 0.0  # gamma of R2, the same on fakes
    config.penalties.approximate_r1 = 0.0  # gamma of R1 by a finite difference
    config.penalties.approximate_r2 = 0.0
    config.penalties.wgan_gp = 0.0  # slopes of 1 between reals and fakes; the paper's lambda is 10
    config.penalties.dragan = 0.0  # slopes of 1 around reals
    config.penalties.lecam = 0.0  # logits near the average of the other kind's, for little data
    config.penalties.consistency = 0.0  # CR: reals judged alike when moved; the paper's lambda is 10
    config.penalties.balanced_consistency = 0.0  # bCR: fakes too
    config.penalties.latent_consistency = 0.0  # zCR's term of D: fakes of near latents judged alike
    config.penalties.diversity = 0.0  # zCR's term of G: images of near latents differ
    config.penalties.path_length = 0.0  # of G: steps in latent space change the image evenly
    config.penalties.orthogonal_generator = 0.0  # filters of a layer orthogonal; BigGAN's beta is 1e-4
    config.penalties.orthogonal_discriminator = 0.0
    config.terms = ConfigDict()  # weights of losses of what D says beside real or fake; 0: none
    config.terms.auxiliary_classifier = 0.0  # AC-GAN: D names the class; discriminator.labels may be none
    config.terms.twin_classifier = 0.0  # the same, with a twin for the fakes
    config.terms.information = 0.0  # InfoGAN: D reads model.codes off the fakes
    config.terms.mean_feature_matching = 0.0  # G matches the means of D's last features
    config.terms.pixel = 0.0  # pairs: difference of pixels
    config.terms.perceptual = 0.0  # pairs: another distance, of task.perceptual
    config.terms.feature_matching = 0.0  # pairs: difference of D's features
    config.terms.cycle = 0.0  # images that went to the other domain and back are as they were
    config.terms.identity = 0.0  # cycle: images of the domain that they go to stay as they are
    config.terms.nce = 0.0  # contrastive: patches are told by those of the input in their place
    config.terms.nce_identity = 0.0  # contrastive: the same of images of the domain that is aimed at
    config.terms.reconstruction = 0.0  # shared_latent: encoded and decoded images are as they were
    config.terms.kl = 0.0  # shared_latent: latents are normal
    config.terms.cycle_kl = 0.0  # shared_latent: those of the way back too
    config.terms.style = 0.0  # styles: the style that led is read off the image again
    config.terms.style_diversity = 0.0  # styles: images of two styles differ
    config.pretrain = ConfigDict()  # the run's first phase: G learns from one term alone
    config.pretrain.steps = 0  # training steps of it, of all of config.steps
    config.pretrain.term = ""  # such as pixel
    config.lazy = ConfigDict({name: 1 for name in config.penalties})  # steps between, then as many times it
    config.smoothing = ConfigDict()  # of the non_saturating loss's targets
    config.smoothing.real = 1.0  # what D is told of reals
    config.smoothing.fake = 0.0  # what D is told of fakes
    config.smoothing.flipped = 0.0  # share of examples of which it is told the contrary
    config.top_k = 1.0  # share of the fakes, the most real to D, that the generator learns from

    config.augment = ConfigDict()
    config.augment.policy = ""  # letters or a name of jaxgan.augment; empty: none
    config.augment.control = "fixed"  # fixed: p as it is or by a schedule; adaptive: ADA, from p on
    config.augment.p = 0.0  # probability of each operation on each image
    config.augment.target = 0.6  # adaptive: mean sign of D's logits of reals that p aims at
    config.augment.kimg = 500.0  # adaptive: thousands of images in which p can go from 0 to 1

    # Numbers that move over the run: (field, kind, first, last, start, stop) with kind constant, linear or
    # cosine, start and stop in thousands of images shown; pieces of a field follow each other, as a climb and
    # a decay. Fields: optimizer.*.learning_rate, b1 and b2, penalties.*, terms.*, adversarial, top_k,
    # augment.p, ema.half_life.
    config.schedules = ()

    config.optimizer = ConfigDict(dict(generator=optimizer(), discriminator=optimizer()))

    config.alternation = ConfigDict()
    config.alternation.phases = ("discriminator", "generator")  # one step runs these in turn
    config.alternation.fresh_fakes = (
        True  # in each phase; False: G learns from those that D was shown, faster
    )
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
    config.evaluate = ConfigDict()  # the averaged generator's samples against the data; see docs/metrics.md
    config.evaluate.every = 0.0  # thousands of images shown between; 0: never
    config.evaluate.metrics = ("fid",)  # names in jaxgan.evaluation.figures.FIGURES
    config.evaluate.split = ""  # of the data, that is compared and shown; empty: data.split
    config.evaluate.samples = 10_000  # how many are drawn
    config.evaluate.reference = 0  # real images that they are compared with; 0: all
    config.evaluate.features = "inception-2048"  # the network: see jaxgan.features.choosing
    config.evaluate.weights = ""  # a file of its weights; empty: the published one, or train it
    config.evaluate.resize = ""  # how images are brought to its size; empty: its own way
    config.evaluate.lpips = ""  # a file of LPIPS's weights, for path lengths
    config.evaluate.seed = 0  # of samples
    config.evaluate.batch = 0  # images at a time, over all devices; 0: 50 for each
    config.checkpoint = ConfigDict()
    config.checkpoint.every = 500  # steps between saves
    config.checkpoint.keep = 3  # newest saves kept, beside the best
    config.checkpoint.best_metric = "distance/sliced_wasserstein"  # empty: keep no best
    config.checkpoint.best_mode = "min"  # min or max
    return config
