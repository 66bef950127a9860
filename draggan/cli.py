"""The command line: `draggan web`, `drag`, `image`, `models`. The only module that prints.

Imports torch only where it works with it, so that help comes at once.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from draggan.engines import DEFAULT, ENGINES
from draggan.memory import keep_freed_memory

if TYPE_CHECKING:
    from draggan.geometry import DragPair

PROG = "draggan"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and where the help is."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROG}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. -> the exit code: 0, or 2 for bad input, said in one line; 130 after Ctrl+C."""
    args = _parser().parse_args(arguments)
    keep_freed_memory()
    try:
        args.run(args)
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROG, description="Edit pictures by dragging points (DragGAN on StyleGAN2).")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    web = commands.add_parser("web", help="start the page in a browser")
    web.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    web.add_argument("--port", type=int, default=7860, help="the next free one if it is taken (default: 7860)")
    web.add_argument("--share", action="store_true", help="also make the page public through Gradio's tunnel")
    web.set_defaults(run=_web)

    drag = commands.add_parser("drag", help="drag points of a generated picture")
    drag.add_argument("--pair", action="append", required=True, metavar="X,Y:X,Y", help="handle:target in pixels")
    drag.add_argument("--mask", type=Path, help="picture of the same size: white where the picture may change")
    drag.add_argument("--video", type=Path, help="every step as .mp4, .gif or .webp")
    drag.add_argument("--points", action="store_true", help="draw the points into the video")
    about = "; ".join(f"{name}: {engine.help}" for name, engine in ENGINES.items())
    drag.add_argument("--engine", choices=tuple(ENGINES), default=DEFAULT, help=f"{about} (default: {DEFAULT})")
    drag.add_argument("--lr", type=float, help="step size of the engine draggan (default: the model's)")
    drag.add_argument("--max-steps", type=int, help="(default: the engine's, 300 or 40)")
    drag.add_argument("--space", choices=("w_plus", "w"), default="w_plus")
    drag.add_argument("--mask-weight", type=float, help="how strongly the mask holds (default: the engine's)")
    drag.set_defaults(run=_drag)

    image = commands.add_parser("image", help="generate a picture")
    image.set_defaults(run=_image)

    models = commands.add_parser("models", help="list, fetch, verify, remove or convert models")
    models.set_defaults(run=_list)
    actions = models.add_subparsers(metavar="ACTION", parser_class=_Parser)
    for name, run, text in (
        ("fetch", _fetch, "download models, or all"),
        ("verify", _verify, "read models again and compare their SHA-256"),
        ("remove", _remove, "delete downloaded models"),
        ("convert", _convert, "write a checkpoint of another project as .safetensors beside it"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("names", nargs="+", metavar="FILE" if name == "convert" else "NAME")
        action.set_defaults(run=run)

    for command in (web, drag, image):
        command.add_argument("--model", default="plush-256", help="a name of the table or a file (default: plush-256)")
        command.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    for command in (web, drag, image, models):
        command.add_argument("--checkpoints", type=Path, metavar="DIR", help="folder of the downloaded models")
    for command in (drag, image):
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--psi", type=float, default=0.7, help="truncation psi, 0 .. 1 (default: 0.7)")
        command.add_argument("--out", type=Path, required=True, help="the picture to write, a PNG")
    return parser


def _web(args: argparse.Namespace) -> None:
    from draggan import models
    from draggan.cache import ModelCache
    from draggan.web.app import ServerConfig, build, serve

    device = str(models.pick_device(args.device))
    models.fetch(args.model, args.checkpoints)
    cache = ModelCache(folder=args.checkpoints)
    cache.load(args.model, device)
    page = build(cache, device, args.model)
    address = serve(page, ServerConfig(args.host, args.port, args.share))
    if not address.rstrip("/").endswith(f":{args.port}"):
        print(f"Port {args.port} is taken.")
    print(f"draggan on {device}: {address}", flush=True)
    page.block_thread()


def _image(args: argparse.Namespace) -> None:
    from draggan import models
    from draggan.render import to_picture

    _check_out(args.out, (".png",))
    generator = models.load(args.model, args.device, args.checkpoints)
    latent = generator.latent(args.seed, args.psi)
    _save(args, to_picture(generator.render(latent)))


def _drag(args: argparse.Namespace) -> None:
    import torch
    from tqdm import tqdm

    from draggan import models, render

    pairs = [_pair(text) for text in args.pair]
    _check_out(args.out, (".png",))
    if args.video:
        _check_out(args.video, render.VIDEOS)
    engine, lr = ENGINES[args.engine], args.lr
    if lr is None and args.engine == "draggan":
        lr = models.step_size(args.model)
    config = engine.settings(lr=lr, max_steps=args.max_steps, space=args.space, mask_weight=args.mask_weight)
    generator = models.load(args.model, args.device, args.checkpoints)
    mask = None if args.mask is None else torch.from_numpy(render.read_mask(args.mask, generator.image_size))
    targets = [pair.target for pair in pairs]
    steps = engine.drag(generator, generator.latent(args.seed, args.psi), pairs, mask, config)
    frames, step = [], None
    with tqdm(steps, total=config.max_steps, unit="step", initial=-1, disable=None) as progress:
        for step in progress:
            progress.set_postfix_str(f"{max(step.distances):.1f} px to go")
            if args.video:
                picture = render.to_picture(step.image())
                frames.append(render.with_points(picture, step.handles, targets) if args.points else picture)
    assert step is not None, "a drag yields at least one step"
    _save(args, render.to_picture(step.image()))
    if args.video:
        render.write_video(args.video, frames)
    how = "arrived" if step.arrived else "not there yet"
    print(f"{how} after {step.index} steps, farthest handle {max(step.distances):.1f} px from its target: {args.out}")


def _list(args: argparse.Namespace) -> None:
    from draggan import models

    for state in models.states(args.checkpoints):
        spec = state.spec
        if not spec.urls:
            here = "comes with draggan"
        elif state.path:
            here = f"{state.size / 1e6:.0f} MB, from {state.record.url if state.record else 'by hand'}"
        else:
            here = f"not here ({spec.size_mb} MB)" + (
                f", {state.unfinished / 1e6:.0f} MB begun" * bool(state.unfinished)
            )
        print(f"{spec.name:24} {spec.width} x {spec.height:<5} {here:60} {spec.shows}. {spec.licence.name}")


def _fetch(args: argparse.Namespace) -> None:
    from draggan import models

    names = models.available_models() if args.names == ["all"] else [models.spec_of(name).name for name in args.names]
    for name in names:
        print(models.fetch(name, args.checkpoints))


def _verify(args: argparse.Namespace) -> None:
    from draggan import models

    for name in args.names:
        verdict = models.verify(name, args.checkpoints)
        if verdict.problem:
            raise ValueError(f"{verdict.path}: {verdict.problem}")
        held = "as expected" if verdict.expected else "nothing is known of what it should be"
        print(f"{verdict.path}: good, SHA-256 {verdict.sha256} ({held})")


def _remove(args: argparse.Namespace) -> None:
    from draggan import models

    for name in args.names:
        for path in models.remove(name, args.checkpoints):
            print(f"removed {path}")


def _convert(args: argparse.Namespace) -> None:
    from draggan import models

    for name in args.names:
        print(models.convert(Path(name)))


def _pair(text: str) -> "DragPair":
    from draggan.geometry import DragPair, Point

    try:
        handle, target = (Point(*map(float, place.split(","))) for place in text.split(":"))
    except (ValueError, TypeError):
        raise ValueError(f"--pair {text!r} is not X,Y:X,Y in pixels, such as 100,120:130,120") from None
    return DragPair(handle, target)


def _check_out(path: Path, endings: tuple[str, ...]) -> None:
    """Raises before the work where the result could not be written."""
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path}: the name must end in {' or '.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.absolute().parent}")


def _save(args: argparse.Namespace, picture) -> None:
    from draggan.render import encode, facts

    args.out.write_bytes(encode(picture, facts(args.model, args.seed, args.psi), lossless=True))
