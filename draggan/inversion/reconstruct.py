"""A picture -> the latent and the weights that make it: `invert`, then `tune`, as one run."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from draggan.inversion.invert import InversionConfig, InversionStep, invert
from draggan.inversion.tuning import TuningStep, tune
from draggan.stylegan2.delta import Delta
from draggan.stylegan2.generator import Generator


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """The best so far; it can be used as it is."""

    found: InversionStep  # its last one once the weights move
    tuned: TuningStep | None = None  # None: the weights are the model's own

    @property
    def step(self) -> InversionStep | TuningStep:
        """Which step of `invert` or of `tune` it is: `index` of `total`."""
        return self.tuned or self.found

    @property
    def latent(self) -> Tensor:
        """(1, num_ws, w_dim), on the CPU."""
        return self.found.latent

    def image(self) -> Tensor:
        """The picture, (1, 3, H, W) in about [-1, 1]."""
        return self.step.image()

    def psnr(self) -> float:
        """How near it is to the one wanted, in dB."""
        return self.tuned.psnr if self.tuned else self.found.psnr()

    def delta(self) -> Delta | None:
        """The change of the weights; None: none."""
        return self.tuned and self.tuned.delta()


def reconstruct(
    generator: Generator, picture: Tensor, config: InversionConfig, tuning: bool = True
) -> Iterator[Reconstruction]:
    """Yields the best so far after each step; stop asking and it stops. Arguments and errors as of `invert`.

    tuning: whether the weights may move once the latent is found.
    """
    found = None
    for found in invert(generator, picture, config):
        yield Reconstruction(found)
    assert found is not None, "an inversion yields at least one step"
    if tuning:
        for tuned in tune(generator, found.latent, picture):
            yield Reconstruction(found, tuned)
