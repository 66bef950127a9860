"""What the page does when something is clicked. Each handler turns (session, inputs) into (session, canvas, ..)."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from draggan.models import available_models, step_size
from draggan.project import Project, check_fits, load, load_delta
from draggan.render import encode, thumbnail
from draggan.session import Session
from draggan.table import MODELS
from draggan.web import canvas, settings, words
from draggan.web.answers import free, kept, must_be_free, shortly, shown
from draggan.web.dragging import Dragging
from draggan.web.network import Network
from draggan.web.presence import Places, Tabs
from draggan.web.sent import was_sent
from draggan.web.starts import EXAMPLE_MODEL, EXAMPLE_PSI, Start
from draggan.web.telling import EXPECTED, explained, given, must_be_here, spoken, tell, told, warn

WAIT_SECONDS = 1  # between two looks of a tab for a place that has become free
ENTER_SECONDS = 0.05  # between two looks whether the tab has entered
GONE_SECONDS = 60  # after which a tab that has gone is forgotten
STAY_SECONDS = 5  # between two signs of life to a tab where nothing happens
UNHEARD = 4  # signs of life in a row that nobody listened to: the tab has gone


class Handlers:
    """The handlers of one page: the network behind it, who is on it, and the tabs that it is shown in."""

    def __init__(self, network: Network, places: Places, tabs: Tabs) -> None:
        self._network = network
        self._places = places
        self._tabs = tabs
        self.dragging = Dragging(network)

    async def stay(self, request: gr.Request) -> AsyncIterator[None]:
        """Runs as long as the tab is open: it has its place, or waits for one, and its stream of answers is open.

        Gradio closes the stream after the last answer that is due. An edit sent at that moment is carried out, but
        its answer waits for the next edit. And where a tab goes before its stream is open, or in the middle of an
        answer, Gradio does not notice: what it asked for would run on, and its place be taken for ever.
        """
        tab = str(request.session_hash)
        self._places.enter(tab)
        unheard = 0
        try:
            while unheard < UNHEARD:
                yield
                await asyncio.sleep(STAY_SECONDS)
                unheard = 0 if tab in self._tabs.listeners else unheard + 1
            await self._tabs.end(tab)
        finally:
            self._places.leave(tab)
            asyncio.get_running_loop().call_later(GONE_SECONDS, self._put_away, tab)

    async def arrive(self, request: gr.Request) -> AsyncIterator[dict[str, Any]]:
        """Ends when the tab has a place. -> canvas"""
        yield gr.skip()
        while (before := self._places.before(str(request.session_hash))) != 0:
            yield canvas.note(words.waiting(before, self._places.most)) if before else gr.skip()
            await asyncio.sleep(WAIT_SECONDS if before else ENTER_SECONDS)

    def _put_away(self, tab: str) -> None:
        """Forgets a tab, unless it has come back: its browser keeps what there was."""
        if self._places.before(tab) is None:
            self._tabs.forget(tab)

    @told
    def start(
        self, model: str, seed: float, truncation_psi: float, sent: list[str] | None = None, parts: int = 0
    ) -> tuple:
        """The first picture of a tab, or what its browser kept of one: as `_back` takes it.

        -> menu, seed, psi, then what `shown` gives
        """
        refused = None
        if parts:
            try:
                return self._back(sent, parts, model)
            except EXPECTED as error:
                refused = words.refused(explained(error))
        session, view, *buttons = self._drawn(None, model, seed, truncation_psi)
        return self.menu(model), seed, truncation_psi, session, canvas.refused(view, refused), *buttons

    def open_session(self, session: Session, path: str) -> Iterator[tuple]:
        """A session in a file that the user sends; its model is downloaded where needed.

        -> controls, menu, seed, psi, then what `shown` gives
        """
        if not free(session):
            return
        same = [gr.skip()] * (len(settings.NAMES) + 3)
        try:
            yield *same, *_loading(session, path)
            saved = self._found(load(Path(path)), session.model)
            for coming in self._coming(session, saved.session.model):
                yield *same, *coming
            opened = self._opened(saved)
            controls = settings.shown(opened.engine, opened.config, opened.precision, opened.model)
            yield *controls, *self._seen(opened)
        except Exception as error:
            yield *same, *shown(session)
            tell(error)

    @told
    def draw(self, session: Session, seed: float, truncation_psi: float) -> Iterator[tuple]:
        """A new picture of the same model. Undo goes back to the old one."""
        must_be_free(session)
        yield from _meanwhile(session, lambda: self._drawn(session, session.model, seed, truncation_psi))

    def draw_random(self, session: Session, truncation_psi: float) -> Iterator[tuple]:
        """A picture of a seed that nobody chose. -> seed, then what `shown` gives"""
        seed = random.randrange(2**31)
        for drawn, *rest in self.draw(session, seed, truncation_psi):
            yield seed if drawn.seed == seed else gr.skip(), drawn, *rest

    @told
    def style(self, session: Session, seed: float, truncation_psi: float, moving_layers: float) -> Iterator[tuple]:
        """The colours of another seed: its layers from `moving_layers` on."""
        must_be_free(session)
        seed, truncation_psi = given("Seed", seed), given("Truncation psi", truncation_psi)
        first = int(given("Moving layers", moving_layers))

        def styled() -> tuple:
            other = self._network.draw(session.model, int(seed), truncation_psi)
            new = session.restyled(other.latent, first)
            return shown(new) if new is session else kept(self._network, new)

        yield from _meanwhile(session, styled)

    def choose(self, session: Session, model: str, seed: float, truncation_psi: float) -> Iterator[tuple]:
        """Another model, by name or file: downloaded where needed, then shown. A failure keeps the old picture.

        Undo goes back to it. -> model, then what `shown` gives
        """
        if not free(session):
            if session is not None:
                yield session.model, *6 * [gr.skip()]
            return
        try:
            for coming in self._coming(session, model):
                yield gr.skip(), *coming
            yield gr.skip(), *_loading(session, model)
            yield model, *self._drawn(session, model, seed, truncation_psi)
        except Exception as error:
            yield session.model, *shown(session)
            tell(error)

    def open_file(
        self,
        session: Session,
        path: str,
        seed: float,
        truncation_psi: float,
        sent: list[str] | None = None,
        parts: int = 0,
    ) -> Iterator[tuple]:
        """A model in a file that the user sends, and what the browser kept of a session, if that waits for this model.

        -> menu, seed, psi, then what `shown` gives
        """
        model = ""
        for model, *rest in self.choose(session, path, seed, truncation_psi):
            yield (self.menu(path) if model == path else model), gr.skip(), gr.skip(), *rest
        if parts and model == path:
            try:
                yield self._back(sent, parts, path)
            except EXPECTED as error:
                warn(error)

    def menu(self, model: str) -> dict[str, Any]:
        """The menu with a model chosen, also one that the table does not have."""
        choices = [(spoken(words.label(spec)), spec.name) for spec in MODELS]
        if model not in available_models():
            choices.append((Path(model).name, model))
        return gr.update(choices=choices, value=model)

    def edit(self, session: Session, event: gr.EventData) -> tuple:
        """What the user does on the canvas. It is always answered, so that the next edit can be sent.

        -> what `shown` gives, then menu, seed, psi
        """
        if not free(session):
            return gr.skip(), gr.update(answered=event.number), *7 * [gr.skip()]
        frame = None
        try:
            edited = canvas.edited(session, event)
            if edited.model != session.model:
                frame = self._network.frame(edited)
                self._network.rehearse(edited.model)
        except Exception as error:
            warn(error)
            edited = session
        repaint = event.kind in ("undo", "redo", "back")
        answers = shown(edited, frame, answered=event.number, repaint=repaint)
        return *answers, *self._drawn_from(session, edited)

    @told
    def look(self, session: Session, event: gr.EventData) -> dict[str, Any]:
        """The picture of a session, and where it is asked for that as drawn, which edits are compared to. -> canvas"""
        must_be_here(session)
        original = encode(self._network.picture(session, session.start), lossless=False) if event.original else None
        return canvas.picture(session, self._network.frame(session), original)

    def example(
        self, session: Session, offered: tuple[Start, ...], event: gr.EventData, *controls: Any
    ) -> Iterator[tuple]:
        """A picture of the gallery: drawn, and where it comes with points, dragged.

        controls: truncation psi, then as `drag` takes them. -> menu, seed, psi, step size, then what `shown` gives
        """
        if not free(session):
            return
        start, before = offered[event.index], session
        psi, *drag = controls
        model, psi = (EXAMPLE_MODEL, EXAMPLE_PSI) if start.pairs else (session.model, psi)
        step = gr.skip()
        if model != session.model:
            drag[settings.STEP] = step = step_size(model)
        try:
            for drawn in _meanwhile(before, lambda: self._drawn(before, model, start.seed, psi)):
                session = drawn[0]
                yield *self._drawn_from(before, session), step, *drawn
        except Exception as error:
            tell(error)
        for pair in start.pairs:
            session = session.add(pair)
        if start.pairs:
            for dragged in self.dragging.drag(session, *drag):
                yield *4 * [gr.skip()], *dragged

    def stop(self, session: Session) -> Iterator[tuple]:
        """After Stop: the last step kept, with its picture. -> model, then what `shown` gives"""
        if session is None or not session.busy:
            yield 7 * (gr.skip(),)
            return
        stopped = session.stop()
        try:
            yield session.model, *(kept(self._network, stopped) if session.phase == "dragging" else shown(stopped))
        except EXPECTED as error:  # what failed may be the network itself
            yield session.model, *shown(stopped)
            tell(error)

    def _coming(self, session: Session, model: str) -> Iterator[tuple]:
        """What `shown` gives while a model is downloaded; nothing where it is here."""
        for progress in self._network.download(model):
            status, part = words.loading(model, progress), progress.received / (progress.total or math.inf)
            yield shown(replace(session, phase="loading"), status=status, progress=part)

    def _found(self, saved: Project, own: str) -> Project:
        """A session with its model where that is now.

        It may name a model of the table, the tab's `own`, or a file that was sent here, but no other file of this
        machine; and where it names one that is not here, `own` may be the same.
        """
        model = saved.session.model
        if model in (*available_models(), own) or was_sent(model):
            return saved
        if saved.model_sha256 and saved.model_sha256 == self._network.sha256(own):
            return replace(saved, session=saved.session.of_model(own))
        said = "the session was made with the model file {file}: open that file first"
        raise ValueError(words.Said(said, {"file": Path(model).name}))

    def _opened(self, saved: Project) -> Session:
        check_fits(saved, self._network.generator(saved.session.model))
        return saved.session

    def _back(self, sent: list[str] | None, parts: int, own: str) -> tuple:
        """What a browser kept of a session, in files that it has sent: the session, and its details where it has some.

        parts: how many files that should be. own: the tab's model. -> what `_seen` gives
        """
        if not sent:
            raise ConnectionError("it could not be sent: reload the page")
        session, *details = (Path(path) for path in sent)
        try:
            saved = self._found(load(session), own)
            if saved.session.photo and details:
                photo = replace(saved.session.photo, delta=load_delta(details[0]))
                saved = replace(saved, session=replace(saved.session, photo=photo))
        finally:
            for path in (session, *details):
                path.unlink(missing_ok=True)
        if len(sent) < parts:
            lost = words.Said("the browser has lost the details of your picture: it is shown without them")
            gr.Warning(spoken(lost))
        return self._seen(self._opened(saved))

    def _seen(self, session: Session) -> tuple:
        """A whole session that the browser has not seen. -> menu, seed, psi, then what `shown` gives"""
        picture = self._network.picture(session)
        session = session if session.shots else session.keep(thumbnail(picture))
        session, view, *buttons = shown(session, encode(picture, lossless=False), repaint=True, strip=True)
        self._network.rehearse(session.model)
        settled = canvas.refused(view, None)
        return self.menu(session.model), session.seed, session.truncation_psi, session, settled, *buttons

    def _drawn(self, session: Session | None, model: str, seed: float, truncation_psi: float) -> tuple:
        fresh = self._network.draw(model, int(given("Seed", seed)), given("Truncation psi", truncation_psi))
        drawn = kept(self._network, session.redrawn(fresh) if session else fresh)
        self._network.rehearse(model)
        return drawn

    def _drawn_from(self, before: Session, after: Session) -> tuple:
        """What a picture is drawn from, where another one is shown than before. -> menu, seed, psi"""
        menu = after.model if after.model in available_models() else self.menu(after.model)
        if after.model == before.model:
            menu = gr.skip()
        drawn = [(each.photo is None, each.seed, each.truncation_psi) for each in (before, after)]
        if after.photo or drawn[0] == drawn[1]:
            return menu, gr.skip(), gr.skip()
        return menu, after.seed, after.truncation_psi


def _loading(session: Session, file: str) -> tuple:
    """What `shown` gives while a file is loaded."""
    status = words.Said("Loading {model} ...", {"model": Path(file).name})
    return shown(replace(session, phase="loading"), status=status)


def _meanwhile(session: Session, work: Callable[[], tuple]) -> Iterator[tuple]:
    """What `shown` gives while a picture is drawn, then what `work` gives; where that fails, the session as it was."""
    try:
        yield shortly(session, words.Said("Drawing ..."))
        yield work()
    except Exception:
        yield shown(session)
        raise
