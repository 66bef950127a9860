"""From `Drag it` to the first frame that moved: `python -m benchmarks.first_frame`.

A tab without a browser presses the button over real HTTP; beside it the same drag in this process, up to its first
step, drawn and encoded: what is between the two is what the page adds. Both in turn, as the machine may be busy.
"""

import argparse
import asyncio
import time
from statistics import median

from torch import Tensor

import draggan
from benchmarks.users import PORT, server
from benchmarks.visitor import Visitor, client
from draggan.memory import keep_freed_memory
from draggan.render import encode, to_picture
from draggan.stylegan2.generator import Generator
from draggan.threads import use_free_cores

MODEL, SEED, PSI = "plush-256", 6, 0.7  # as the page is opened
HANDLE, TARGET = (111, 170), (170, 150)


async def of_the_page(tab: Visitor) -> float:
    """Milliseconds until a picture that moved has come; then the drag is stopped and undone."""
    before, began = tab.picture, time.perf_counter()
    async for step in tab.drag():
        if step and tab.picture != before:
            seconds = time.perf_counter() - began
            break
    else:
        raise RuntimeError(f"no frame that moved: {tab.status}")
    await tab.stop()
    await tab.edit("reset")
    return 1e3 * seconds


def of_the_drag(generator: Generator, latent: Tensor) -> float:
    """Likewise without a page."""
    pair = draggan.DragPair(draggan.Point(*HANDLE), draggan.Point(*TARGET))
    began = time.perf_counter()
    for step in draggan.drag(generator, latent, [pair]):
        if step.index:
            encode(to_picture(step.image()), lossless=False)
            break
    return 1e3 * (time.perf_counter() - began)


async def measure(address: str, device: str, rounds: int) -> list[tuple[float, float]]:
    """(of the page, of the drag) of each round, after one that is not counted."""
    generator = draggan.load(MODEL, device)
    latent, taken = generator.latent(SEED, PSI), []
    async with client() as http, Visitor(http, address) as tab:
        await tab.until("ready")
        for _ in range(rounds + 1):
            await tab.edit("pair", at=HANDLE, to=TARGET)
            await tab.fire("canvas", "look", {"original": False})  # as the page does where it shows another picture
            taken.append((await of_the_page(tab), of_the_drag(generator, latent)))
    return taken[1:]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.first_frame", description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    keep_freed_memory()
    use_free_cores()
    with server(PORT, ["--device", args.device, "--model", MODEL]) as (address, _):
        taken = asyncio.run(measure(address, args.device, args.rounds))
    page, drag = (median(column) for column in zip(*taken, strict=True))
    added = [page - drag for page, drag in taken]
    print("| first frame of the page, ms | of the drag alone, ms | added, median | at most |")
    print("|---|---|---|---|")
    print(f"| {page:.0f} | {drag:.0f} | {median(added):.0f} | {max(added):.0f} |")


if __name__ == "__main__":
    main()
