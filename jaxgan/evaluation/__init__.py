"""Sets of images measured against each other, by figures that say how they were made."""
