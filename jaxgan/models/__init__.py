"""Networks, a family a file.

A generator is called `generator(latents [B,Z], labels [B] or None, train=...)`, a discriminator
`discriminator(images [B,...], labels [B] or None, train=...)`; both are Linen modules. A discriminator's
`describe`, called alike, returns its logits, its hidden layers and what its further heads say, by name.
"""
