"""Weights in and out: others' files read without running them, their layouts, and files of ours.

weights = files.read("netG.pth")                             # names -> arrays; nothing in it is run
table = LAYOUTS["dcgan"](network)                            # their names, our leaves, the rules between
variables, kept = tables.take(table, weights, tables.template(network, latents))
cards.save("g.safetensors", variables, network=network, inputs=(latents,), card={"licence": "MIT"})
network, variables, card = cards.load("g.safetensors")
files.write("netG.safetensors", tables.give(table, variables, kept))  # what PyTorch reads, bit for bit
"""
