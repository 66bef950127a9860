"""How soon the command line and the page answer: `python -m benchmarks.start`.

Each round takes all of them in turn, in processes of their own, so that their ratios hold on a busy machine.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from urllib.request import urlopen

IMPORTS = "import torch, gradio"
LOADING = "; import draggan; draggan.load('plush-256', 'cpu')"


def run(*arguments: str) -> float:
    """Seconds that python takes for something and ends."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


def page() -> float:
    """Seconds until the page is there for a browser."""
    began = time.perf_counter()
    command = [sys.executable, "-u", "-m", "draggan.web", "--device", "cpu", "--port", "17960"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            address = next(found[0] for line in server.stdout if (found := re.search(r"http://\S+", line)))
            with urlopen(address) as answer:
                answer.read()
            return time.perf_counter() - began
        finally:
            server.terminate()


STARTS: dict[str, Callable[[], float]] = {
    "draggan --help": lambda: run("-m", "draggan", "--help"),
    IMPORTS: lambda: run("-c", IMPORTS),
    "the same, and loading the embedded model": lambda: run("-c", IMPORTS + LOADING),
    "draggan web, until the page answers": page,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rounds = [{name: start() for name, start in STARTS.items()} for _ in range(args.rounds + 1)][1:]
    loading = list(STARTS)[2]
    print(f"| start | seconds | of {loading.replace('the same', IMPORTS)} |\n|---|---|---|")
    for name in STARTS:
        ratio = median(taken[name] / taken[loading] for taken in rounds)
        print(f"| {name} | {median(taken[name] for taken in rounds):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
