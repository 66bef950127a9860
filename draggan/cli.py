"""The command line: `draggan web`, `drag`, `image`, `invert`, `models`. The only module that prints.

Imports torch only where it works with it, so that help comes at once.
"""

import argparse
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from draggan.arguments import PROG, crop_of, pair_of, parser
from draggan.engines import DEFAULT, ENGINES, PAPER
from draggan.memory import keep_freed_memory
from draggan.threads import use_free_cores

if TYPE_CHECKING:
    from draggan.geometry import DragPair
    from draggan.invert import InversionConfig
    from draggan.picture import Crop, Picture
    from draggan.session import Session
    from draggan.stylegan2.generator import Generator
    from draggan.survey import Survey


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. -> the exit code: 0, or 2 for bad input, said in one line; 130 after Ctrl+C."""
    args = parser().parse_args(arguments)
    keep_freed_memory()
    use_free_cores()
    try:
        COMMANDS[args.command](args)
    except (ValueError, OSError, ArithmeticError) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _web(args: argparse.Namespace) -> None:
    import torch

    from draggan import models
    from draggan.cache import ModelCache
    from draggan.precision import precision_of
    from draggan.web.app import ServerConfig, build, serve
    from draggan.web.limits import accounts, size
    from draggan.web.sent import kept_while_serving

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
    from draggan import models
    from draggan.render import encode, facts, to_picture

    _check_out(args.out, (".png",))
    generator = models.load(args.model, args.device, args.checkpoints)
    picture = to_picture(generator.render(generator.latent(args.seed, args.psi)))
    args.out.write_bytes(encode(picture, facts(args.model, args.seed, args.psi), lossless=True))


def _drag(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from draggan import models, paste, render
    from draggan.film import Film, Frame

    pairs = [pair_of(text) for text in args.pair]
    _check_out(args.out, (".png",))
    if args.video:
        _check_out(args.video, render.VIDEOS)
    session, generator = _begun(args)
    session = _ready(args, session, pairs)
    if args.mask:
        session = session.with_mask(render.read_mask(args.mask, generator.image_size))
    whole = _whole(args.paste_into, session) if args.paste_into else None
    targets = tuple(pair.target for pair in session.pairs)
    film, step = Film(), None
    prepared = ENGINES[session.engine].prepare(generator, session.config, models.metrics_folder(args.checkpoints))
    deque(tqdm(prepared, "preparing this model, once", leave=False, disable=None, bar_format="{desc}: {elapsed}"), 0)
    steps = session.run(generator)
    with tqdm(total=session.config.max_steps, unit="step", disable=None) as progress:
        for done, step in enumerate(steps):
            progress.update(done - progress.n)
            progress.set_postfix_str(f"{max(step.distances):.1f} px to go")
            film = film.shoot(session.start, step.latent, step.handles, targets)
    assert step is not None, "a drag yields at least one step"
    picture, said = render.to_picture(step.image()), render.facts(session.model, session.seed, session.truncation_psi)
    if session.photo:
        said = render.photo_facts(session.model)
    if whole:
        assert session.photo is not None, "checked with the picture"
        before = generator.render(session.start)
        picture = paste.paste(whole, session.photo.crop, session.photo.shown, before, step.image())
    args.out.write_bytes(render.encode(picture, said, lossless=True))
    if args.video:
        frames = film.way(session.start, Frame(step.latent, step.handles, targets))
        way = tqdm(frames, "video", leave=False, disable=None, unit="frame")
        shown = (render.to_picture(generator.render(frame.latent(session.start))) for frame in way)
        dotted = (render.with_points(p, f.handles, targets) for p, f in zip(shown, frames, strict=True))
        render.write_video(args.video, dotted if args.points else shown)
    how = "arrived" if step.arrived else "not there yet"
    held = "".join(f", point {i} is held by: {why}" for i, why in enumerate(step.stuck, start=1) if why)
    farthest = f"farthest handle {max(step.distances):.1f} px from its target"
    print(f"{how} after {step.index} steps, {farthest}{held}: {args.out}")


def _begun(args: argparse.Namespace) -> "tuple[Session, Generator]":
    """What `drag` begins with: a seed's picture, or a file's, and the generator that makes it."""
    from draggan import delta, models, project
    from draggan.download import hash_file
    from draggan.session import new_session

    if args.session is None:
        if args.paste_into:
            raise ValueError("--paste-into needs --session: the file that `draggan invert` made of that picture")
        generator = models.load(args.model, args.device, args.checkpoints, args.precision)
        return new_session(generator, args.model, args.seed, args.psi), generator
    saved = project.load(args.session)
    session = saved.session
    precision = session.precision if args.precision == "auto" else args.precision
    generator = models.load(session.model, args.device, args.checkpoints, precision)
    project.check_fits(saved, generator)
    if saved.model_sha256 != hash_file(models.find(session.model, args.checkpoints)):
        print(f"{PROG}: {args.session} was made with another file of {session.model}", file=sys.stderr)
    if session.photo and session.photo.delta:
        generator = delta.changed(generator, session.photo.delta)
    return session, generator


def _ready(args: argparse.Namespace, session: "Session", pairs: "list[DragPair]") -> "Session":
    """With the points and the settings of the command line; without points there, a file's own drag goes on."""
    from dataclasses import replace

    from draggan import models

    given = {name: getattr(args, name) for name in ("lr", "max_steps", "space", "mask_weight")}
    given = {name: value for name, value in given.items() if value is not None}
    name = args.engine or (DEFAULT if pairs else session.engine)
    if pairs:
        session = replace(session.clear_points(), pairs=tuple(pairs))
        usual = {"lr": models.step_size(session.model)} if name == PAPER else {}
        config = ENGINES[name].settings(**usual | given)
    elif session.pairs:
        config = ENGINES[name].settings(**given)  # refuses what this engine does not have
        if name == session.engine:
            config = replace(session.config, **given)
    else:
        raise ValueError("there is nothing to drag: say --pair X,Y:X,Y, the handle and its target")
    return session.dragged_by(name, config, session.precision)


def _whole(path: Path, session: "Session") -> "Picture":
    """The picture that a session was made from."""
    import numpy as np

    from draggan.picture import cut, read_picture
    from draggan.render import to_picture

    if session.photo is None:
        raise ValueError("--paste-into: the session was not made from a picture")
    picture = read_picture(path)
    if not np.array_equal(to_picture(cut(picture, session.photo.crop, session.image_size)), session.photo.shown):
        raise ValueError(f"{path} is not the picture that the session was made from")
    return picture


def _invert(args: argparse.Namespace) -> None:
    from dataclasses import replace

    from PIL import Image

    from draggan import models, project
    from draggan.download import hash_file
    from draggan.invert import InversionConfig

    if args.picture.is_dir():
        args.out.mkdir(exist_ok=True)
        known = Image.registered_extensions()
        files = sorted(p for p in args.picture.iterdir() if p.is_file() and p.suffix.lower() in known)
        jobs = [(p, args.out / f"{p.name}.draggan") for p in files]
        jobs = [(path, out) for path, out in jobs if not out.exists()]
    else:
        _check_out(args.out, (".draggan",))
        jobs = [(args.picture, args.out)]
    config = InversionConfig() if args.steps is None else replace(InversionConfig(), steps=args.steps)
    crop = None if args.crop is None else crop_of(args.crop)
    generator = models.load(args.model, args.device, args.checkpoints)
    digest = hash_file(models.find(args.model, args.checkpoints))
    survey, failed = None, []
    for path, out in jobs:
        try:
            session, survey = _inverted(path, crop, args.model, generator, config, survey, not args.no_tuning)
        except ValueError as error:
            if not args.picture.is_dir():
                raise
            failed.append(path.name)
            print(f"{PROG}: {error}", file=sys.stderr)
        else:
            project.save(out, project.Project(session, digest))
    if failed:
        raise ValueError(f"{len(failed)} of {len(jobs)} pictures could not be used: {', '.join(failed)}")


def _inverted(
    path: Path,
    crop: "Crop | None",
    model: str,
    generator: "Generator",
    config: "InversionConfig",
    survey: "Survey | None",
    tuning: bool,
) -> "tuple[Session, Survey]":
    """A picture as a session, and what is known of the generator for the next one."""
    from tqdm import tqdm

    from draggan.faces import find_face
    from draggan.models import shows_faces
    from draggan.perceptual import lpips
    from draggan.photo import Photo
    from draggan.picture import cut, read_picture, whole_crop
    from draggan.reconstruct import reconstruct
    from draggan.render import to_picture
    from draggan.session import photo_session

    picture = read_picture(path)
    notes = picture.notes
    if crop is None:
        face = find_face(picture) if shows_faces(model) else None
        crop = face or whole_crop(picture.size, generator.image_size)
        notes = (f"--crop {crop.x:.0f},{crop.y:.0f},{crop.side:.0f}, its {'face' if face else 'middle'}", *notes)
    wanted = cut(picture, crop, generator.image_size)
    best = None
    with tqdm(reconstruct(generator, wanted, config, survey, tuning), desc=path.name, unit="step", disable=None) as bar:
        for best in bar:
            bar.total = best.found.total + (best.tuned.total + 1 if best.tuned else 0)
            bar.set_postfix_str(f"tuning, {best.psnr():.1f} dB" if best.tuned else best.found.stage)
    assert best is not None, "a reconstruction yields at least one step"
    near = f"{best.found.psnr():.1f} dB" + (f", tuned {best.psnr():.1f} dB" if best.tuned else "")
    perceived = lpips(best.image(), wanted)
    near += "" if perceived is None else f", LPIPS {perceived:.3f}"
    print("; ".join([f"{path.name}: {near}", f"compared by {' and '.join(best.found.losses)}", *notes]))
    photo = Photo(crop, to_picture(wanted), best.delta())
    return photo_session(generator, model, best.latent, photo), best.found.survey


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


def _check_out(path: Path, endings: tuple[str, ...]) -> None:
    """Raises before the work where the result could not be written."""
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path}: the name must end in {' or '.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.absolute().parent}")


COMMANDS = {
    "web": _web,
    "drag": _drag,
    "image": _image,
    "invert": _invert,
    "models": _list,
    "models fetch": _fetch,
    "models verify": _verify,
    "models remove": _remove,
    "models convert": _convert,
}
