"""The commands that work through many things: `draggan invert` of a folder, and those of `draggan models`.

Prints, as `cli` does, which runs them, and likewise imports torch only where it works with it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from draggan.arguments import PROG, crop_of
from draggan.writable import check_file, check_folder

if TYPE_CHECKING:
    from draggan.inversion.invert import InversionConfig
    from draggan.inversion.picture import Crop
    from draggan.session import Session
    from draggan.stylegan2.generator import Generator

Thing = TypeVar("Thing")


def invert(args: argparse.Namespace) -> None:
    """A picture, or those of a folder, as sessions in files."""
    from dataclasses import replace

    from draggan import project
    from draggan.inversion.invert import InversionConfig
    from draggan.registry import models
    from draggan.registry.download import hash_file

    config = InversionConfig() if args.steps is None else replace(InversionConfig(), steps=args.steps)
    crop = None if args.crop is None else crop_of(args.crop)
    if args.picture.is_dir():
        files = _of_folder(args.picture, args.out)
    else:
        check_file(args.out, (".draggan",))
        files = {args.picture: args.out}
    digest = hash_file(models.fetch(args.model, args.checkpoints))
    if args.picture.is_dir():
        _check_same_model(args.out, digest)
    if not files:
        return
    generator = models.load(args.model, args.device, args.checkpoints)

    def one(path: Path) -> None:
        session, said, stopped = _inverted(path, crop, args.model, generator, config, not args.no_tuning)
        if not (stopped and args.picture.is_dir()):  # what is left of a folder is begun anew
            project.save(files[path], project.Project(session, digest))
            print(said)
        if stopped:
            raise KeyboardInterrupt

    each([*files], one, (ValueError, ArithmeticError))


def _of_folder(folder: Path, out: Path) -> dict[Path, Path]:
    """The pictures of a folder that are to be inverted, each with its file in another folder. Says what it found."""
    from draggan.imagefile import endings

    seen = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    pictures = [path for path in seen if path.suffix.lower() in endings()]
    others = [path.suffix or path.name for path in seen if path not in pictures]
    kinds = ", ".join(sorted(set(others)))
    if not pictures:
        there = f"only files of other kinds ({kinds})" if others else "no files"
        raise ValueError(f"{folder} has no picture, {there}: save pictures in it as PNG or JPEG")
    files = {path: out / f"{path.name}.draggan" for path in pictures}
    left = {path: file for path, file in files.items() if not file.exists()}
    rest = f", other files: {len(others)} ({kinds})" if others else ""
    print(f"{folder}: pictures: {len(pictures)}, done before: {len(pictures) - len(left)}{rest}", flush=True)
    check_folder(out, [file.name for file in files.values()])
    return left


def _check_same_model(folder: Path, digest: str) -> None:
    """Raises ValueError where what is done in a folder was done with another model, of another SHA-256."""
    from draggan import project

    for file in sorted(folder.glob("*.draggan")):
        if project.model_of(file) not in ("", digest):
            raise ValueError(f"{file} was made with another model: name another folder with --out, or remove the file")


def _inverted(
    path: Path,
    crop: "Crop | None",
    model: str,
    generator: "Generator",
    config: "InversionConfig",
    tuning: bool,
) -> "tuple[Session, str, bool]":
    """A picture as a session, what is said of it, and whether Ctrl+C stopped it there."""
    from tqdm import tqdm

    from draggan.inversion.faces import find_face
    from draggan.inversion.perceptual import lpips
    from draggan.inversion.photo import Photo
    from draggan.inversion.picture import cut, read_picture, whole_crop
    from draggan.inversion.reconstruct import reconstruct
    from draggan.registry.models import shows_faces
    from draggan.render import to_picture
    from draggan.session import photo_session

    picture = read_picture(path)
    notes = picture.notes
    if crop is None:
        face = find_face(picture) if shows_faces(model) else None
        crop = face or whole_crop(picture.size, generator.image_size)
        notes = (f"--crop {crop.x:.0f},{crop.y:.0f},{crop.side:.0f}, its {'face' if face else 'middle'}", *notes)
    wanted = cut(picture, crop, generator.image_size)
    best, stopped = None, False
    with tqdm(reconstruct(generator, wanted, config, tuning), desc=path.name, unit="step", disable=None) as bar:
        try:
            for best in bar:
                bar.total = best.found.total + (best.tuned.total + 1 if best.tuned else 0)
                bar.set_postfix_str(f"tuning, {best.psnr():.1f} dB" if best.tuned else best.found.stage)
        except KeyboardInterrupt:
            if best is None or best.found.stage != "fit":  # there is only a start
                raise
            stopped = True
        except Exception as error:
            if best is None or not best.found.last:
                raise
            notes = (f"without its details: {error}", *notes)  # tuning takes more memory than all before
    assert best is not None, "a reconstruction yields at least one step"
    near = f"{best.found.psnr():.1f} dB" + (f", tuned {best.psnr():.1f} dB" if best.tuned else "")
    perceived = lpips(best.image(), wanted)
    near += "" if perceived is None else f", LPIPS {perceived:.3f}"
    begins = f"{path.name}: stopped at" if stopped else f"{path.name}:"
    said = "; ".join([f"{begins} {near}", f"compared by {' and '.join(best.found.losses)}", *notes])
    photo = Photo(crop, to_picture(wanted), best.delta())
    return photo_session(generator, model, best.latent, photo), said, stopped


def list_models(args: argparse.Namespace) -> None:
    """The table, and what of it is here."""
    from draggan.registry import models

    for state in models.states(args.checkpoints):
        spec = state.spec
        if not spec.urls:
            here = f"{state.size / 1e6:.0f} MB, comes with draggan"
        elif state.path:
            origin = f"from {state.record.url}" if state.record else "put there by hand"
            here = f"{state.size / 1e6:.0f} MB, {origin}"
        else:
            begun = f", {state.unfinished / 1e6:.0f} MB begun" if state.unfinished else ""
            here = f"not here ({spec.size_mb} MB){begun}"
        size, memory = f"{spec.width} x {spec.height}", f"takes {spec.memory_mb} MB"
        print(f"{spec.name:24} {size:12} {memory:14} {here:60} {spec.shows}. {spec.licence.name}")


def fetch(args: argparse.Namespace) -> None:
    """Downloads models, or all."""
    from draggan.registry import models

    names = models.available_models() if args.names == ["all"] else [models.spec_of(name).name for name in args.names]
    each(names, lambda name: print(models.fetch(name, args.checkpoints)))


def verify(args: argparse.Namespace) -> None:
    """Reads models again and compares their SHA-256."""
    from draggan.registry import models

    def one(name: str) -> None:
        verdict = models.verify(name, args.checkpoints)
        if verdict.problem:
            raise ValueError(f"{verdict.path}: {verdict.problem}")
        held = "nothing is known of what it should be"
        if verdict.expected:
            held = "as first downloaded" if verdict.recorded else "as the table says"
        print(f"{verdict.path}: good, SHA-256 {verdict.sha256} ({held})")

    each(args.names, one)


def remove(args: argparse.Namespace) -> None:
    """Deletes downloaded models."""
    from draggan.registry import models

    def one(name: str) -> None:
        gone = models.remove(name, args.checkpoints)
        for path in gone:
            print(f"removed {path}")
        if not gone:
            print(f"{name} is not here")

    each(args.names, one)


def convert(args: argparse.Namespace) -> None:
    """Writes checkpoints of other projects in our format beside them."""
    from draggan.registry import models

    each(args.names, lambda name: print(models.convert(Path(name))))


def each(
    things: Sequence[Thing],
    do: Callable[[Thing], object],
    harmless: tuple[type[Exception], ...] = (ValueError, OSError),
) -> None:
    """Does each. Where one cannot be done, it says why and goes on with the others, and raises at the end."""
    failed = []
    for thing in things:
        try:
            do(thing)
        except harmless as error:
            if len(things) == 1:
                raise
            failed.append(str(thing))
            print(f"{PROG}: {error}", file=sys.stderr)
    if failed:
        raise ValueError(f"{len(failed)} of {len(things)} could not be done: {', '.join(failed)}")
