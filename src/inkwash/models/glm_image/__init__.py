"""GLM-Image: AR generator, ViT and VQ, diffusion decoder, glyph encoder and VAE.

Parameter names follow the released checkpoint, so a state dict loads without renaming.
"""
