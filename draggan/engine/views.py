"""What drags see of feature maps: the whole, or windows around their handles, of several drags in one batch."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, islice
from typing import NamedTuple

import torch
from torch import Tensor

from draggan.engine.features import Features, whole
from draggan.geometry import Point, to_cells
from draggan.stylegan2.device import sent
from draggan.stylegan2.generator import Generator, Latents
from draggan.stylegan2.windows import Windows, evaluate, total_cost

SLACKS = (0, 2, 4, 8, 16)  # cells by which windows may be larger than one handle needs, to serve several

Box = tuple[int, int, int, int]  # top, left, bottom, right of cells of a map, all included


@dataclass(frozen=True, eq=False)
class View:
    """What a drag wants to see: the features of a block, at least `reach` pixels around each of its handles."""

    generator: Generator
    ws: Latents  # (1, num_ws, w_dim), or (N, num_ws, w_dim): a latent of its own for each of N handles
    resolution: int  # of the block
    handles: tuple[Point, ...]
    reach: float

    @property
    def kind(self) -> Hashable:
        """Views of one kind can be seen together."""
        return self.generator, self.resolution, self.reach, tuple(part.shape[1] for part in self.parts)

    @property
    def side(self) -> int:
        """Cells of the side of a window that is large enough wherever a handle lies."""
        return 2 + math.ceil(2 * self.reach * self.resolution / max(self.generator.image_size))

    @cached_property
    def parts(self) -> tuple[Tensor, ...]:
        """The w of some layers after the others. (1 or N, L, w_dim) each"""
        return self.generator.parts_of(self.ws)

    @cached_property
    def boxes(self) -> tuple[tuple[Box, ...], ...]:
        """What is read of the map, for each latent."""
        size, map_size = self.generator.image_size, self.generator.config.map_size(self.resolution)
        boxes = tuple(_box(handle, self.reach, size, map_size) for handle in self.handles)
        return (boxes,) if len(self.parts[0]) == 1 else tuple((box,) for box in boxes)


class _Held(NamedTuple):
    """Windows that hold some boxes."""

    corners: tuple[tuple[int, int], ...]  # of the windows
    owners: tuple[int, ...]  # the window of each box


@dataclass(frozen=True)
class _Cover:
    """Windows of one side, those of each of some latents."""

    side: int
    held: tuple[_Held, ...]
    steady: bool = False

    @property
    def windows(self) -> Windows:
        return Windows(_joined(self.held).corners, self.side, self.steady)

    @property
    def latents(self) -> tuple[int, ...]:
        """The latent of each window."""
        return tuple(i for i, held in enumerate(self.held) for _ in held.corners)


def around(generator: Generator, ws: Latents, resolution: int, handles: Sequence[Point], reach: float) -> Features:
    """The features of the block of `resolution` at least `reach` pixels around each handle, the cheapest way.

    ws (1, num_ws, w_dim), or (N, num_ws, w_dim): a latent of its own for each of N handles, so that the gradients of
    one handle's features are its own. Windows where that pays, overlapping ones of a latent merged; else the whole
    map. Gradients reach ws.
    """
    return seen([View(generator, ws, resolution, tuple(handles), reach)])[0]


def seen(views: Sequence[View]) -> list[Features]:
    """What each of several views of one kind sees, as `around` gives it; all windows are evaluated at once."""
    covers = [_cover([view]) for view in views]
    few = [view for view, cover in zip(views, covers, strict=True) if cover]
    if len(few) > 1 and (shared := _cover(few)):
        parts = iter(_on_windows(few, shared))
        return [next(parts) if cover else _everywhere(view) for view, cover in zip(views, covers, strict=True)]
    each = zip(views, covers, strict=True)
    return [_on_windows([view], cover)[0] if cover else _everywhere(view) for view, cover in each]


def _everywhere(view: View) -> Features:
    """The whole map of each latent of a view."""
    trunk = view.generator.trunk_again(view.parts, view.resolution)
    return whole(trunk, view.generator.image_size, len(view.handles))


def _on_windows(views: Sequence[View], cover: _Cover) -> list[Features]:
    generator, resolution = views[0].generator, views[0].resolution
    latents, windows, owners = views[0].parts, cover.windows, cover.latents
    if len(views) > 1:
        latents = tuple(map(torch.cat, zip(*(view.parts for view in views), strict=True)))
        if cover.steady:
            latents, windows, owners = _filled_up(latents, windows, owners)
    parts = evaluate(generator, latents, resolution, windows, owners)
    held = iter(cover.held)
    each = [_joined(tuple(islice(held, len(view.boxes)))) for view in views]
    pieces = parts[: len(cover.latents)].split([len(own.corners) for own in each])
    return [_features(view, piece, own) for view, piece, own in zip(views, pieces, each, strict=True)]


def _filled_up(
    latents: tuple[Tensor, ...], windows: Windows, owners: tuple[int, ...]
) -> tuple[tuple[Tensor, ...], Windows, tuple[int, ...]]:
    """With the last latent and the last window again, up to a power of two of each: drags come and go, and for each
    number of them all is recorded anew."""

    def missing(count: int) -> int:
        return (1 << (count - 1).bit_length()) - count

    more, windows_more = missing(len(latents[0])), missing(len(owners))
    latents = tuple(torch.cat([part, part[-1:].expand(more, -1, -1)]) for part in latents)
    corners = windows.corners + windows.corners[-1:] * windows_more
    return latents, replace(windows, corners=corners), owners + owners[-1:] * windows_more


def _features(view: View, parts: Tensor, held: _Held) -> Features:
    generator, count = view.generator, 2 * len(held.corners)
    places = sent(torch.tensor([*chain.from_iterable(held.corners), *held.owners]), parts.device)
    corners, owners = places[:count].view(-1, 2), places[count:]
    return Features(parts, corners, owners, generator.config.map_size(view.resolution), generator.image_size)


def _joined(held: Sequence[_Held]) -> _Held:
    """The windows of several as those of one."""
    starts = accumulate((len(each.corners) for each in held), initial=0)
    owners = tuple(start + i for start, each in zip(starts, held, strict=False) for i in each.owners)
    return _Held(tuple(chain.from_iterable(each.corners for each in held)), owners)


def _cover(views: Sequence[View]) -> _Cover | None:
    """The windows that are cheapest for all views; None where whole maps are cheaper."""
    generator, resolution = views[0].generator, views[0].resolution
    config, map_size = generator.config, generator.config.map_size(resolution)
    boxes = [own for view in views for own in view.boxes]
    if generator.steady:
        options = [_Cover(views[0].side, tuple(map(_each, boxes)), steady=True)]
    else:
        side = 1 + max(max(bottom - top, right - left) for own in boxes for top, left, bottom, right in own)
        slacks = SLACKS if any(len(own) > 1 for own in boxes) else SLACKS[:1]
        options = [_Cover(side + slack, tuple(_hold(own, side + slack, map_size) for own in boxes)) for slack in slacks]
    options = [option for option in options if option.side <= min(map_size)]
    costs = [total_cost(config, resolution, option.windows, len(boxes)) for option in options]
    if not options or min(costs) >= total_cost(config, resolution, None, len(boxes)):
        return None
    return options[costs.index(min(costs))]


def _each(boxes: Sequence[Box]) -> _Held:
    """A window for each box, so that there are as many wherever they lie; steady ones may hang over the border."""
    return _Held(tuple((top, left) for top, left, _, _ in boxes), tuple(range(len(boxes))))


def _hold(boxes: Sequence[Box], side: int, map_size: tuple[int, int]) -> _Held:
    """Windows of one side that hold every box, first fit, moved onto the map."""
    unions: list[Box] = []
    owners = []
    for top, left, bottom, right in boxes:
        for i, (t, u, b, r) in enumerate(unions):
            union = (min(t, top), min(u, left), max(b, bottom), max(r, right))
            if union[2] - union[0] < side and union[3] - union[1] < side:
                unions[i] = union
                owners.append(i)
                break
        else:
            owners.append(len(unions))
            unions.append((top, left, bottom, right))
    corners = tuple((min(t, map_size[0] - side), min(u, map_size[1] - side)) for t, u, _, _ in unions)
    return _Held(corners, tuple(owners))


def _box(handle: Point, reach: float, image_size: tuple[int, int], map_size: tuple[int, int]) -> Box:
    """The cells that bilinear sampling around a handle reads."""

    def ends(place: float, last: int) -> tuple[int, int]:
        low, high = (math.floor(to_cells(at, image_size, map_size)) for at in (place - reach, place + reach))
        return min(max(low, 0), max(last - 1, 0)), min(max(high, 0) + 1, last)

    (top, bottom), (left, right) = ends(handle.y, map_size[0] - 1), ends(handle.x, map_size[1] - 1)
    return top, left, bottom, right
