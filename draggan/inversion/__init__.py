"""A picture of one's own: from its file to a latent of a generator, and back into its file."""
