"""Features of images, by networks with fixed weights, for metrics to compare."""
