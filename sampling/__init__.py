"""From a checkpoint and a sampler string to pictures: what modes/, the page and a training's previews share."""
