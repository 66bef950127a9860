"""What the page does when something is clicked. Each handler turns (session, inputs) into (session, canvas, ..)."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from draggan.project import Project, check_fits, load, load_details
from draggan.registry.models import available_models, step_size
from draggan.registry.table import MODELS
from draggan.registry.transfer import Progress
from draggan.render import encode, thumbnail
from draggan.session import Session
from draggan.web import canvas, settings, words
from draggan.web.answers import free, kept, must_be_free, shortly, shown
from draggan.web.dragging import Dragging
from draggan.web.network import Network
from draggan.web.presence import Listeners
from draggan.web.sent import was_sent
from draggan.web.starts import EXAMPLE_MODEL, EXAMPLE_PSI, Start
from draggan.web.telling import explained, given, given_class, must_be_here, report, spoken, tell, told, warn

SEEDS = 0, 2**32 - 1  # the least and the most


class Handlers:
    """The handlers of one page, with the network behind it."""

    def __init__(self, network: Network, listeners: Listeners) -> None:
        self._network = network
        self.dragging = Dragging(network, listeners)

    @told
    def start(
        self,
        model: str,
        seed: float,
        truncation_psi: float,
        class_index: float,
        sent: list[str] | None = None,
        parts: int = 0,
    ) -> Iterator[tuple]:
        """The first picture of a tab, or what its browser kept of one: as `_kept` takes it.

        -> menu, seed, psi, class, then what `shown` gives
        """
        refused = None
        if parts:
            try:
                saved = self._kept(sent, parts, model)
                for coming in self._network.download(saved.session.model):
                    note = canvas.note(words.loading(saved.session.model, coming, stops=False), _part(coming))
                    yield *5 * [gr.skip()], note, *4 * [gr.skip()]
                yield self._seen(self._opened(saved))
                return
            except Exception as error:
                report(error)
                refused = words.refused(explained(error))
        session, view, *buttons = self._drawn(None, model, seed, truncation_psi, class_index)
        yield self.menu(model), *self._how(session), session, canvas.refused(view, refused), *buttons

    def open_session(self, session: Session, path: str) -> Iterator[tuple]:
        """A session in a file that the user sends; its model is downloaded where needed.

        -> controls, menu, seed, psi, class, then what `shown` gives
        """
        if not free(session):
            return
        same = [gr.skip()] * (len(settings.Shown._fields) + 4)
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
    def draw(self, session: Session, seed: float, truncation_psi: float, class_index: float) -> Iterator[tuple]:
        """A new picture of the same model. Undo goes back to the old one."""
        must_be_free(session)
        how = seed, truncation_psi, class_index
        yield from _meanwhile(session, lambda: self._drawn(session, session.model, *how))

    def draw_random(self, session: Session, truncation_psi: float, class_index: float) -> Iterator[tuple]:
        """A picture of a seed that nobody chose. -> seed, then what `shown` gives"""
        seed = random.randrange(2**31)
        for drawn, *rest in self.draw(session, seed, truncation_psi, class_index):
            yield seed if drawn.seed == seed else gr.skip(), drawn, *rest

    @told
    def style(self, session: Session, seed: float, truncation_psi: float, class_index: float) -> Iterator[tuple]:
        """The colours of another seed: its layers from the first on that the session's drags do not move."""
        must_be_free(session)
        how = self._given(session.model, seed, truncation_psi, class_index)

        def styled() -> tuple:
            other = self._network.draw(session.model, *how)
            new = session.restyled(other.latent, session.config.moving_layers)
            return shown(new) if new is session else kept(self._network, new)

        yield from _meanwhile(session, styled)

    def choose(self, session: Session, model: str, seed: float, truncation_psi: float) -> Iterator[tuple]:
        """Another model, by name or file: downloaded where needed, then shown. A failure keeps the old picture.

        Undo goes back to it. Of a model with classes it is the first one. -> model, class, then what `shown` gives
        """
        if not free(session):
            if session is not None:
                yield session.model, *7 * [gr.skip()]
            return
        same = gr.skip(), gr.skip()
        try:
            for coming in self._coming(session, model):
                yield *same, *coming
            yield *same, *_loading(session, model)
            drawn = self._drawn(session, model, seed, truncation_psi, class_index=0)
            yield model, self._classes(drawn[0]), *drawn
        except Exception as error:
            yield session.model, gr.skip(), *shown(session)
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

        -> menu, seed, psi, class, then what `shown` gives
        """
        model = ""
        for model, *rest in self.choose(session, path, seed, truncation_psi):
            yield (self.menu(path) if model == path else model), gr.skip(), gr.skip(), *rest
        if parts and model == path:
            try:
                saved = self._kept(sent, parts, path)
                for _ in self._network.download(saved.session.model):
                    pass
                yield self._seen(self._opened(saved))
            except Exception as error:
                warn(error)

    def menu(self, model: str) -> dict[str, Any]:
        """The menu with a model chosen, also one that the table does not have."""
        choices = [(spoken(words.label(spec)), spec.name) for spec in MODELS]
        if model not in available_models():
            choices.append((Path(model).name, model))
        return gr.update(choices=choices, value=model)

    def edit(self, session: Session, event: gr.EventData) -> tuple:
        """What the user does on the canvas. It is always answered, so that the next edit can be sent.

        -> what `shown` gives, then menu, seed, psi, class
        """
        if not free(session):
            return gr.skip(), canvas.unedited(session, event.number), *8 * [gr.skip()]
        frame, repaint = None, event.kind in ("undo", "redo", "back")
        try:
            edited = canvas.edited(session, event)
            if edited.model != session.model:
                frame = self._network.frame(edited)
                self._network.rehearse(edited.model)
            named = self._drawn_from(session, edited)
        except Exception as error:
            warn(error)
            edited, repaint, named = session, True, 4 * (gr.skip(),)
        return *shown(edited, frame, answered=event.number, repaint=repaint), *named

    @told
    def look(self, session: Session, event: gr.EventData) -> dict[str, Any]:
        """The picture of a session, and where it is asked for the one that edits are compared to. -> canvas"""
        must_be_here(session)
        original = encode(self._network.original(session), lossless=False) if event.original else None
        frame = None if session.framing else self._network.frame(session)  # the one that is framed lies over it
        return canvas.picture(session, frame, original)

    def example(
        self, session: Session, offered: tuple[Start, ...], event: gr.EventData, request: gr.Request, *controls: Any
    ) -> Iterator[tuple]:
        """A picture of the gallery: drawn, and where it comes with points, dragged.

        controls: truncation psi and class, then as `drag` takes them.
        -> menu, seed, psi, class, step size, then what `shown` gives
        """
        if not free(session):
            return
        start, before = offered[event.index], session
        model, how = (EXAMPLE_MODEL, (EXAMPLE_PSI, 0)) if start.pairs else (session.model, controls[:2])
        drag, step = settings.Shown(*controls[2:]), gr.skip()
        if model != session.model:
            step = step_size(model)
            drag = drag._replace(lr=step)
        try:
            for drawn in _meanwhile(before, lambda: self._drawn(before, model, start.seed, *how)):
                session = drawn[0]
                yield *self._drawn_from(before, session), step, *drawn
        except Exception as error:
            tell(error)
        for pair in start.pairs:
            session = session.add(pair)
        if start.pairs:
            for dragged in self.dragging.drag(session, request, *drag):
                yield *5 * [gr.skip()], *dragged

    def stop(self, session: Session) -> Iterator[tuple]:
        """After Stop: the last step kept, with its picture. -> model, then what `shown` gives"""
        if session is None or not session.busy:
            yield 7 * (gr.skip(),)
            return
        stopped = session.stop()
        try:
            yield session.model, *(kept(self._network, stopped) if session.phase == "dragging" else shown(stopped))
        except Exception as error:  # what failed may be the network itself
            yield session.model, *shown(stopped)
            tell(error)

    def _coming(self, session: Session, model: str) -> Iterator[tuple]:
        """What `shown` gives while a model is downloaded; nothing where it is here."""
        for progress in self._network.download(model):
            status = words.loading(model, progress)
            yield shown(replace(session, loading=True), status=status, progress=_part(progress))

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

    def _kept(self, sent: list[str] | None, parts: int, own: str) -> Project:
        """What a browser kept of a session, in files that it has sent: the session, and its details where it has some.

        parts: how many files that should be. own: the tab's model.
        """
        if not sent:
            raise ConnectionError("it could not be sent: reload the page")
        session, *details = (Path(path) for path in sent)
        saved = self._found(load(session), own)
        if saved.session.photo and details:
            photo = load_details(details[0], saved.session.photo)
            saved = replace(saved, session=saved.session.with_photo(photo))
        if len(sent) < parts:
            lost = words.Said(
                "the browser has lost the details of your picture and the whole of it: it is shown without them"
            )
            gr.Warning(spoken(lost))
        return saved

    def _seen(self, session: Session) -> tuple:
        """A whole session that the browser has not seen. -> menu, seed, psi, class, then what `shown` gives"""
        picture = self._network.picture(session)
        session = session if session.shots else session.keep(thumbnail(picture))
        session, view, *buttons = shown(session, encode(picture, lossless=False), repaint=True, strip=True)
        self._network.rehearse(session.model)
        settled = canvas.refused(view, None)
        return self.menu(session.model), *self._how(session), session, settled, *buttons

    def _drawn(
        self, session: Session | None, model: str, seed: float, truncation_psi: float, class_index: float
    ) -> tuple:
        fresh = self._network.draw(model, *self._given(model, seed, truncation_psi, class_index))
        drawn = kept(self._network, session.redrawn(fresh) if session else fresh)
        self._network.rehearse(model)
        return drawn

    def _given(self, model: str, seed: float, truncation_psi: float, class_index: float) -> tuple[int, float, int]:
        """What a picture of a model is drawn from, as the controls show it."""
        drawn = int(given("Seed", seed, *SEEDS)), given("Truncation psi", truncation_psi)
        return *drawn, given_class(class_index, self._network.classes(model))

    def _drawn_from(self, before: Session, after: Session) -> tuple:
        """What a picture is drawn from, where another one is shown than before. -> menu, seed, psi, class"""
        menu = after.model if after.model in available_models() else self.menu(after.model)
        if after.model == before.model:
            menu = gr.skip()
            drawn = [(each.photo is None, each.seed, each.truncation_psi, each.class_index) for each in (before, after)]
            if after.photo or drawn[0] == drawn[1]:
                return 4 * (gr.skip(),)
        return menu, *self._how(after)

    def _how(self, session: Session) -> tuple:
        """What a picture was drawn from. -> seed, psi, class"""
        drawn = (session.seed, session.truncation_psi) if session.photo is None else 2 * (gr.skip(),)
        return *drawn, self._classes(session)

    def _classes(self, session: Session) -> dict[str, Any]:
        """The control for the class, which is there for models that have classes."""
        classes = self._network.classes(session.model)
        return gr.update(value=session.class_index or 0, visible=classes > 0)


def _part(progress: Progress) -> float:
    """How much of a download is done, 0 .. 1; nothing as long as nobody knows how much there is."""
    return progress.received / (progress.total or math.inf)


def _loading(session: Session, file: str) -> tuple:
    """What `shown` gives while a file is loaded."""
    status = words.Said("Loading {model} ...", {"model": Path(file).name})
    return shown(replace(session, loading=True), status=status)


def _meanwhile(session: Session, work: Callable[[], tuple]) -> Iterator[tuple]:
    """What `shown` gives while a picture is drawn, then what `work` gives; where that fails, the session as it was."""
    try:
        yield shortly(session, words.Said("Drawing ..."))
        yield work()
    except Exception:
        yield shown(session)
        raise
