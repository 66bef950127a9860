"""The drag: what all engines share, the two engines, and what they are made of."""
