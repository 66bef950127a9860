"""What loading a checkpoint costs: `python -m benchmarks.checkpoints`.

Writes checkpoints of random weights with the exact shape of afhqcat (512 pixels, 30 M parameters) in every layout and
loads each twice, in processes of their own: from the original, and from its converted form. Seconds of the processor
and peak memory are those of `converted.load`, and then (ready) with the generator made; memory is beside what the
process with PyTorch has before. Linux.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from draggan.stylegan2.config import GeneratorConfig
from tests import foreign_files
from tests.networks import random_tensors

AFHQCAT = GeneratorConfig(
    z_dim=512,
    w_dim=512,
    c_dim=0,
    num_mapping_layers=8,
    resolutions=(4, 8, 16, 32, 64, 128, 256, 512),
    channels=(512, 512, 512, 512, 512, 256, 128, 64),
    conv_clamp=256.0,
)

LOAD = """
import json, sys, time
from pathlib import Path
from draggan.stylegan2 import converted
from draggan.stylegan2.generator import Generator
from tests.watched import memory
before = memory("VmRSS")
start = time.process_time()
loaded = converted.load(Path(sys.argv[1]))
figures = {"seconds": time.process_time() - start, "bytes": memory("VmHWM") - before}
generator = Generator(loaded.config, loaded.tensors)
figures |= {"ready seconds": time.process_time() - start, "ready bytes": memory("VmHWM") - before}
json.dump(figures, sys.stdout)
"""

LAYOUTS: dict[str, Callable[[Path, GeneratorConfig, dict], Path]] = {
    "PyTorch pickle: G, D, G_ema": foreign_files.write_nvidia_pytorch,
    "PyTorch pickle: G_ema": lambda *args: foreign_files.write_nvidia_pytorch(*args, whole=False),
    "TensorFlow pickle: G, D, Gs": foreign_files.write_nvidia_tensorflow,
    "rosinality, zip": foreign_files.write_rosinality,
    "rosinality, legacy": lambda *args: foreign_files.write_rosinality(*args, legacy=True),
}


def load_alone(path: Path) -> dict[str, float]:
    """Loads a file in a new process: seconds, and bytes of memory at the peak; both again with a generator ready."""
    command = [sys.executable, "-c", LOAD, str(path)]
    root = Path(__file__).parents[1]
    return json.loads(subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout)


def measure(layout: str, folder: Path) -> Iterator[tuple[str, float, dict[str, float]]]:
    """(which load, size of the original in bytes, figures) for the first and the second load."""
    path = LAYOUTS[layout](folder / "afhqcat.bin", AFHQCAT, random_tensors(AFHQCAT))
    for which in ("original", "converted"):
        yield which, path.stat().st_size, load_alone(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.checkpoints", description=__doc__.partition("\n")[0])
    parser.parse_args(arguments)
    print("| file | MB | first load, processor s | peak MB | of the file |\n|---|---|---|---|---|")
    ready = []
    for layout in LAYOUTS:
        with tempfile.TemporaryDirectory() as folder:
            (_, size, first), (_, _, again) = measure(layout, Path(folder))
        print(
            f"| {layout} | {size / 1e6:.0f} | {first['seconds']:.2f} | {first['bytes'] / 1e6:.0f} "
            f"| {first['bytes'] / size:.2f} |",
            flush=True,
        )
        ready.append(again["ready seconds"])
    print(f"\nFrom then on it takes {min(ready):.2f} to {max(ready):.2f} s to a ready generator.")


if __name__ == "__main__":
    main()
