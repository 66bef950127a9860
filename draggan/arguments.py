"""What the command line understands: its commands, their options, and what is written in one word of them.

Knows nothing of what the commands do, and imports no torch, so that help comes at once.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from draggan.engine.engines import DEFAULT, ENGINES

if TYPE_CHECKING:
    from draggan.geometry import DragPair
    from draggan.inversion.picture import Crop

PROG = "draggan"
MODEL, SEED, PSI = "plush-256", 1, 0.7  # which picture `drag` and `image` begin with


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    def error(self, message: str) -> NoReturn:
        if message.endswith("expected one argument"):
            message += "; one that begins with a minus sign is written --option=-1,5"
        self.exit(2, f"{PROG}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """Parses a command line; `command` says which: web, drag, image, invert, or models and what to do with them."""
    whole = _Parser(prog=PROG, description="Edit pictures by dragging points (DragGAN on StyleGAN2).")
    commands = whole.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    web = commands.add_parser("web", help="start the page in a browser")
    web.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    web.add_argument("--port", type=int, default=7860, help="the next free one if it is taken (default: 7860)")
    web.add_argument("--share", action="store_true", help="also make the page public through Gradio's tunnel")
    web.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="USER:PASSWORD",
        help="who may log in; repeatable, or @FILE with one a line, which keeps passwords out of the process list",
    )
    web.add_argument("--max-users", type=int, default=100, help="tabs that may be open; others wait (default: 100)")
    web.add_argument("--max-upload", default="4gb", metavar="SIZE", help="of a file that a user sends (default: 4gb)")
    web.add_argument("--root-path", default="", metavar="PATH", help="where a reverse proxy shows the page: /edit")
    web.set_defaults(command="web")

    drag = commands.add_parser("drag", help="drag points of a generated picture")
    drag.add_argument("--pair", action="append", default=[], metavar="X,Y:X,Y", help="handle:target in pixels")
    drag.add_argument("--mask", type=Path, help="picture of the same size: white where the picture may change")
    drag.add_argument("--video", type=Path, help="the way as .mp4, .gif or .webp")
    drag.add_argument("--save-session", type=Path, metavar="FILE", help="a .draggan, to go on with here or on the page")
    drag.add_argument("--points", action="store_true", help="draw the points into the video")
    about = "; ".join(f"{name}: {engine.help}" for name, engine in ENGINES.items())
    drag.add_argument("--engine", choices=tuple(ENGINES), help=f"{about} (default: the session's or {DEFAULT})")
    drag.add_argument("--lr", type=float, help="step size of draggan (default: the session's or the model's)")
    drag.add_argument("--max-steps", type=int, help="(default: the session's or the engine's, 40 or 300)")
    drag.add_argument("--space", choices=("w_plus", "w"), help="(default: the session's or w_plus)")
    drag.add_argument("--mask-weight", type=float, help="how the mask holds (default: the session's or engine's)")
    drag.add_argument("--session", type=Path, help="drag this file's picture as it says; without --pair, go on with it")
    drag.add_argument("--model", help=f"a name of the table or a file (default: the session's, else {MODEL})")
    drag.add_argument("--seed", type=int, help=f"(default: {SEED})")
    drag.add_argument("--psi", type=float, help=f"truncation psi, 0 .. 1 (default: {PSI})")
    drag.add_argument("--paste-into", type=Path, metavar="PICTURE", help="write that whole picture with the edit in it")
    drag.set_defaults(command="drag")

    image = commands.add_parser("image", help="generate a picture")
    image.add_argument("--seed", type=int, default=SEED, help=f"(default: {SEED})")
    image.add_argument("--psi", type=float, default=PSI, help=f"truncation psi, 0 .. 1 (default: {PSI})")
    image.set_defaults(command="image")

    invert = commands.add_parser("invert", help="find the latent of a picture of your own, for `drag --session`")
    invert.add_argument("picture", type=Path, help="a picture, or a folder of them; those that are done are left out")
    invert.add_argument("--crop", metavar="X,Y,SIDE[,DEGREES]", help="centre, longer side and turn, in pixels")
    invert.add_argument("--steps", type=int, help="steps at full size (default: 150)")
    invert.add_argument("--no-tuning", action="store_true", help="leave the model's weights as they are")
    invert.add_argument("--out", type=Path, required=True, help="the .draggan file, or the folder of the files")
    invert.set_defaults(command="invert")

    models = commands.add_parser("models", help="list, fetch, verify, remove or convert models")
    models.set_defaults(command="models")
    actions = models.add_subparsers(metavar="ACTION", parser_class=_Parser)
    for name, text in (
        ("fetch", "download models, or all"),
        ("verify", "read models again and compare their SHA-256"),
        ("remove", "delete downloaded models"),
        ("convert", "write a checkpoint of another project as .safetensors beside it"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("names", nargs="+", metavar="FILE" if name == "convert" else "NAME")
        action.set_defaults(command=f"models {name}")
        action.add_argument(
            "--checkpoints", type=Path, default=argparse.SUPPRESS, metavar="DIR", help="folder of the downloaded models"
        )

    for command in (web, image, invert):
        command.add_argument("--model", default=MODEL, help=f"a name of the table or a file (default: {MODEL})")
    for command in (web, drag, image, invert):
        command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    for command in (web, drag):
        command.add_argument(
            "--precision",
            choices=("auto", "fp32", "bf16", "fp16", "tf32"),
            default="auto",
            help="in which drags multiply: auto (the default) takes bf16 where a CPU is faster in it, and on an "
            "NVIDIA GPU tf32, in which pictures are then made too",
        )
    for command in (web, drag, image, invert, models):
        command.add_argument("--checkpoints", type=Path, metavar="DIR", help="folder of the downloaded models")
    for command in (drag, image):
        command.add_argument(
            "--class", type=int, dest="class_index", metavar="N", help="which class, of a class-conditional model"
        )
        command.add_argument("--out", type=Path, required=True, help="the picture to write, a PNG")
    return whole


def pair_of(text: str) -> "DragPair":
    """X,Y:X,Y -> a pair. Raises ValueError."""
    from draggan.geometry import DragPair, Point

    try:
        handle, target = (Point(*map(float, place.split(","))) for place in text.split(":"))
    except (ValueError, TypeError):
        raise ValueError(f"--pair {text!r} is not X,Y:X,Y in pixels, such as 100,120:130,120") from None
    return DragPair(handle, target)


def crop_of(text: str) -> "Crop":
    """X,Y,SIDE[,DEGREES] -> a crop. Raises ValueError."""
    from draggan.inversion.picture import Crop

    try:
        x, y, side, *turn = map(float, text.split(","))
        (angle,) = turn or [0.0]
    except ValueError:
        raise ValueError(f"--crop {text!r} is not X,Y,SIDE or X,Y,SIDE,DEGREES, such as 320,240,400,-5") from None
    return Crop(x, y, side, angle)
