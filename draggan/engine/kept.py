"""The metric of a model, which takes seconds to work out on a CPU, kept on disk from one run to the next."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from draggan.engine.metric import COARSEST, PIECES, SAMPLES, SEED, TOGETHER, VIEWS, seen_of
from draggan.stylegan2.checkpoint import refusing, write_whole
from draggan.stylegan2.generator import Generator

VERSION = 1  # raised when the same model's metric would come out otherwise


def metric_in_pieces(generator: Generator, layers: int) -> Iterator[None]:
    """Works out what `metric_of` takes long for, a piece of it before each yield; nothing where that is known.

    An earlier run may have kept it in one of the folders of `Generator.keeps_in`, in the last of which it is kept for
    later ones. They need not exist, and a file that is damaged is written again. A folder that cannot be read or
    written is no error.
    """
    if generator.knows(seen_of, layers, PIECES - 1):
        return
    name = f"{fingerprint(generator.model)}-{layers}.safetensors"
    places = [folder / name for folder in generator.keeps_in]
    for path in places:
        with suppress(OSError, ValueError), torch.inference_mode(False):  # as `known` makes them
            for piece, seen in enumerate(_read(path, (TOGETHER, layers, generator.config.w_dim))):
                generator.learn(seen.to(generator.device, generator.dtype), seen_of, layers, piece)
            return
    for piece in range(PIECES):
        generator.known(seen_of, layers, piece)
        yield
    for path in places[-1:]:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            pieces = {str(i): generator.known(seen_of, layers, i).cpu().contiguous() for i in range(PIECES)}
            write_whole(path, pieces)


def fingerprint(generator: Generator) -> str:
    """What tells a model, and the way in which its metric is worked out, from all others: 32 hexadecimal digits."""
    digest = hashlib.sha256(json.dumps([VERSION, SAMPLES, VIEWS, COARSEST, SEED, asdict(generator.config)]).encode())
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)  # of any type
    return digest.hexdigest()[:32]


def _read(path: Path, shape: tuple[int, int, int]) -> list[Tensor]:
    """The pieces of a metric. Raises FileNotFoundError, or ValueError where the file holds anything else."""
    with refusing(path, "{file} is not a metric that can be read: {why}"):
        found = load_file(path)
        pieces = [found[str(piece)] for piece in range(PIECES)]
        if any(piece.shape != shape or not piece.isfinite().all() for piece in pieces):
            raise ValueError(f"its pieces are not finite tensors of {shape}")
    return pieces
