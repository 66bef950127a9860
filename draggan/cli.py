"""The command line: `draggan web`, `drag`, `image`, and in `batches` `invert` and `models`. Nothing else prints.

Imports torch only where it works with it, so that help comes at once.
"""

import argparse
import io
import os
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from draggan import batches
from draggan.arguments import MODEL, PROG, PSI, SEED, pair_of, parser
from draggan.engine.engines import ENGINES, PAPER
from draggan.memory import keep_freed_memory
from draggan.stylegan2.shortage import out_of_memory
from draggan.threads import use_free_cores
from draggan.writable import check_file

if TYPE_CHECKING:
    import numpy as np

    from draggan.engine.steps import DragStep
    from draggan.geometry import DragPair
    from draggan.inversion.picture import Picture
    from draggan.session import Session
    from draggan.stylegan2.generator import Generator


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. -> the exit code: 0, or 2 for bad input, said in one line; 130 after Ctrl+C, 141 where nobody
    reads on what it prints."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file may have any name
    args = parser().parse_args(arguments)
    keep_freed_memory()
    use_free_cores()
    try:
        COMMANDS[args.command](args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left to be flushed
        return 141
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print(f"{PROG}: out of memory: choose a smaller model or picture, or try --device cpu", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _web(args: argparse.Namespace) -> None:
    import torch

    from draggan.precision import precision_of
    from draggan.registry import models
    from draggan.registry.cache import ModelCache
    from draggan.web.app import build
    from draggan.web.limits import accounts, size
    from draggan.web.sent import kept_while_serving
    from draggan.web.server import ServerConfig, serve

    config = ServerConfig(
        host=args.host,
        port=args.port,
        share=args.share,
        auth=accounts(args.auth),
        max_users=args.max_users,
        max_upload=size(args.max_upload),
        root_path=args.root_path,
    )
    device = str(models.pick_device(args.device))
    models.fetch(args.model, args.checkpoints)
    cache = ModelCache(folder=args.checkpoints, precision=args.precision)
    generator = cache.load(args.model, device)
    with kept_while_serving():
        page = build(cache, device, args.model, config.max_users)
        address = serve(page, config)
        if not address.rstrip("/").endswith(f":{args.port}"):
            print(f"Port {args.port} is taken.")
        threads = f"{torch.get_num_threads()} threads, " if device == "cpu" else ""
        print(f"draggan on {device} ({threads}drags in {precision_of(generator)}): {address}", flush=True)
        page.block_thread()


def _image(args: argparse.Namespace) -> None:
    from draggan.facts import facts
    from draggan.registry import models
    from draggan.render import encode, to_picture
    from draggan.session import new_session
    from draggan.stylegan2.whole import write

    check_file(args.out, (".png",))
    generator = models.load(args.model, args.device, args.checkpoints)
    session = new_session(generator, args.model, args.seed, args.psi, _class_of(args, generator))
    write(args.out, encode(to_picture(generator.render(session.latent)), facts(session), lossless=True))


def _drag(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from draggan import project, render
    from draggan.facts import facts
    from draggan.film import Frame
    from draggan.inversion import paste
    from draggan.registry import models
    from draggan.registry.download import hash_file
    from draggan.stylegan2.whole import write

    if args.points and not args.video:
        raise ValueError("--points are drawn into the video: say --video as well")
    pairs = [pair_of(text) for text in args.pair]
    _check_places(args, render.VIDEOS)
    session, generator = _begun(args)
    if args.mask:
        session = session.with_mask(_mask(args.mask, generator.image_size))
    session = _ready(args, session, pairs)
    whole = _whole(args.paste_into, session) if args.paste_into else None
    engine = ENGINES[session.engine].module()
    prepared = engine.prepare(generator, session.config)
    deque(tqdm(prepared, "preparing this model, once", leave=False, disable=None, bar_format="{desc}: {elapsed}"), 0)
    session, step, stopped = _dragged(session, generator)

    def picture() -> bytes:
        drawn = render.to_picture(step.image())
        if whole:
            assert session.photo is not None, "checked with the picture"
            before = generator.render(session.start)
            drawn = paste.paste(whole, session.photo.crop, session.photo.shown, before, step.image())
        return render.encode(drawn, facts(session), lossless=True)

    def saved() -> bytes:
        return project.pack(project.Project(session, hash_file(models.find(session.model, args.checkpoints))))

    def video() -> bytes:
        frames = session.film.way(session.start, Frame(step.latent, step.handles, session.targets))
        way = tqdm(frames, "video", leave=False, disable=None, unit="frame")
        shown = (render.to_picture(generator.render(frame.latent(session.start))) for frame in way)
        dotted = (render.with_points(p, f.handles, f.targets) for p, f in zip(shown, frames, strict=True))
        kind = args.video.suffix.lower()
        return render.encode_video(dotted if args.points else shown, kind, facts(session)["Comment"])

    results = {args.out: picture, args.save_session: saved, args.video: video}
    batches.each([path for path in results if path], lambda path: write(path, results[path]()))
    how = "stopped" if stopped else {"arrived": "arrived", "stuck": "given up"}.get(session.phase, "not there yet")
    held = "".join(f", point {i} is held by: {why}" for i, why in enumerate(step.stuck, start=1) if why)
    farthest = f"farthest handle {max(step.distances):.1f} px from its target"
    print(f"{how} after {step.index} steps, {farthest}{held}: {args.out}", flush=True)
    if stopped:
        raise KeyboardInterrupt


def _dragged(session: "Session", generator: "Generator") -> "tuple[Session, DragStep, bool]":
    """The session after its drag, the last step, and whether Ctrl+C stopped it there."""
    from tqdm import tqdm

    from draggan.engine.progress import Patience

    step, patience = None, Patience()
    with tqdm(total=session.config.max_steps, unit="step", disable=None) as progress:
        try:
            for done, step in enumerate(session.run(generator)):
                progress.update(done - progress.n)
                progress.set_postfix_str(f"{max(step.distances):.1f} px to go")
                session = session.advance(step, stuck=patience.lost(step))
                if session.phase == "stuck":
                    break
        except KeyboardInterrupt:
            if step is None:
                raise
            return session.stop(), step, True
    assert step is not None, "a drag yields at least one step"
    return session, step, False


def _check_places(args: argparse.Namespace, videos: tuple[str, ...]) -> None:
    """Raises ValueError or OSError where what `drag` makes cannot be written, or would take the place of a picture
    that it is made from."""
    for path, endings in ((args.out, (".png",)), (args.video, videos), (args.save_session, (".draggan",))):
        if path:
            check_file(path, endings)
    for option, picture in (("--paste-into", args.paste_into), ("--mask", args.mask)):
        if picture and picture.exists() and args.out.exists() and args.out.samefile(picture):
            raise ValueError(f"--out {args.out} is the picture of {option}: name another file, so that it is not lost")


def _mask(path: Path, image_size: tuple[int, int]) -> "np.ndarray":
    from draggan.render import read_mask

    mask = read_mask(path, image_size)
    if not mask.any():
        raise ValueError(f"{path} is black everywhere, so that nothing may move: make white what may")
    return mask


def _begun(args: argparse.Namespace) -> "tuple[Session, Generator]":
    """What `drag` begins with: a seed's picture, or a file's, and the generator that makes it."""
    from dataclasses import replace

    from draggan import project
    from draggan.registry import models
    from draggan.registry.download import hash_file
    from draggan.session import new_session
    from draggan.stylegan2 import delta

    if args.session is None:
        if args.paste_into:
            raise ValueError("--paste-into needs --session: the file that `draggan invert` made of that picture")
        model = args.model or MODEL
        seed, psi = SEED if args.seed is None else args.seed, PSI if args.psi is None else args.psi
        generator = models.load(model, args.device, args.checkpoints, args.precision)
        return new_session(generator, model, seed, psi, _class_of(args, generator)), generator
    for option, value in (("--seed", args.seed), ("--psi", args.psi), ("--class", args.class_index)):
        if value is not None:
            raise ValueError(f"{option} with --session: the session has its own picture, leave one of them out")
    saved = project.load(args.session)
    session = saved.session.of_model(args.model) if args.model else saved.session
    known = session.model in models.available_models() or Path(session.model).expanduser().exists()
    if not args.model and not known:
        raise FileNotFoundError(f"{args.session}: its model {session.model} is not here: say --model, and where it is")
    precision = session.precision if args.precision == "auto" else args.precision
    generator = models.load(session.model, args.device, args.checkpoints, precision)
    project.check_fits(replace(saved, session=session), generator)
    if saved.model_sha256 not in ("", hash_file(models.find(session.model, args.checkpoints))):
        problem = f"{args.session} was made with another file than {session.model}, of SHA-256 {saved.model_sha256}"
        if args.model:
            raise ValueError(f"{problem}: say --model, and where that is")
        print(f"{PROG}: {problem}", file=sys.stderr)
    if session.photo and session.photo.delta:
        generator = delta.changed(generator, session.photo.delta)
    return session, generator


def _class_of(args: argparse.Namespace, generator: "Generator") -> int | None:
    """The class that a picture is drawn of."""
    classes = generator.config.c_dim
    if classes and args.class_index is None:
        raise ValueError(f"this model draws pictures of {classes} classes: say --class, 0 .. {classes - 1}")
    return args.class_index


def _ready(args: argparse.Namespace, session: "Session", pairs: "list[DragPair]") -> "Session":
    """Its drag begun, of the points and by the settings of the command line, as far as they are given there; without
    points, a file's own drag goes on."""
    from dataclasses import replace

    from draggan.registry import models

    given = {name: getattr(args, name) for name in ("lr", "max_steps", "space", "mask_weight")}
    given = {name: value for name, value in given.items() if value is not None}
    name = args.engine or session.engine
    usual = {"lr": models.step_size(session.model)} if name == PAPER else {}
    config = ENGINES[name].settings(**usual | given)  # refuses what this engine does not have
    if name == session.engine:
        config = replace(session.config, **given)
    if pairs:
        session = replace(session.clear_points(), pairs=tuple(pairs))
    elif not session.pairs:
        raise ValueError("there is nothing to drag: say --pair X,Y:X,Y, the handle and its target")
    return session.begin().dragged_by(name, config, session.precision)


def _whole(path: Path, session: "Session") -> "Picture":
    """The picture that a session was made from."""
    import numpy as np

    from draggan.inversion.picture import SAME, cut, read_picture
    from draggan.render import to_picture

    if session.photo is None:
        raise ValueError("--paste-into: the session was not made from a picture")
    picture = read_picture(path)
    own = to_picture(cut(picture, session.photo.crop, session.image_size)).astype(int)
    if np.abs(own - session.photo.shown).max() > SAME:  # processors round otherwise
        raise ValueError(f"{path} is not the picture that the session was made from")
    return picture


COMMANDS = {
    "web": _web,
    "drag": _drag,
    "image": _image,
    "invert": batches.invert,
    "models": batches.list_models,
    "models fetch": batches.fetch,
    "models verify": batches.verify,
    "models remove": batches.remove,
    "models convert": batches.convert,
}
