"""Networks, a family a file.

A generator is called `generator(latents [B,Z], labels [B] or None, train=...)`, a discriminator
`discriminator(images [B,...], labels [B] or None, train=...)`; both are Linen modules.
"""
