"""A session as a file: what comes back is what was saved, and what is no session is refused."""

import errno
import json
import re
import zlib
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save_file

from draggan import project
from draggan.engine.engines import ENGINES
from draggan.engine.paper import DragConfig
from draggan.engine.steps import MAX_PAIRS
from draggan.film import FRAMES
from draggan.geometry import DragPair, Point
from draggan.inversion.photo import Photo
from draggan.inversion.picture import Crop, Picture
from draggan.project import Project
from draggan.restore import Reader
from draggan.session import HISTORY, SHOTS, new_session
from draggan.stylegan2 import checkpoint, delta
from draggan.stylegan2.delta import Delta
from draggan.stylegan2.generator import Generator
from tests.networks import tiny_generator

WEIGHT = "synthesis.b32.conv1.weight"


@pytest.fixture(scope="module")
def generator():
    return tiny_generator(32, width=2)


@pytest.fixture(scope="module")
def edited(generator):
    """A session with a bit of everything, in the middle of its history."""
    session = new_session(generator, "tiny", seed=3, truncation_psi=0.7)
    shown = np.random.RandomState(0).randint(0, 256, (32, 16, 3), dtype=np.uint8)
    whole = Picture(np.random.RandomState(1).randint(0, 256, (70, 80, 3), dtype=np.uint8), ("turned",))
    change = Delta({WEIGHT: torch.full((8, 8, 3, 3), 0.25, dtype=torch.float16)})
    session = replace(session, photo=Photo(Crop(30.125, 33, 41.5, -12.3), shown, change, whole), number=7)
    session = session.add(DragPair(Point(0.1 + 0.2, 5), Point(9, 8))).with_mask(np.eye(32, 16) > 0)
    session = session.add(DragPair(Point(12, 20), Point(9, 21)))
    session = session.dragged_by("draggan", DragConfig(lr=0.02, max_steps=3), "bf16")
    for step in session.run(generator):
        session = session.advance(step)
    session = session.keep(b"a small picture").click(Point(4, 4))
    return session.remove(0).undo()


def differences(a, b, where="session"):
    """Where two values are not the same, to the last bit."""
    if isinstance(a, torch.Tensor):
        same = a.dtype == b.dtype and torch.equal(a, b) and torch.equal(a.signbit(), b.signbit())
        return [] if same else [where]
    if isinstance(a, np.ndarray):
        return [] if a.dtype == b.dtype and np.array_equal(a, b) else [where]
    if is_dataclass(a):
        names = [f.name for f in fields(a)]
        return [d for n in names for d in differences(getattr(a, n), getattr(b, n), f"{where}.{n}")]
    if isinstance(a, dict):
        return [d for n in a.keys() | b.keys() for d in differences(a[n], b[n], f"{where}.{n}")]
    if isinstance(a, tuple):
        parts = [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in differences(x, y, f"{where}[{i}]")]
        return parts
    return [] if type(a) is type(b) and a == b else [where]


def test_all_of_it_comes_back(edited, tmp_path):
    saved = Project(edited, "ab" * 32)
    project.save(tmp_path / "a.draggan", saved)
    loaded = project.load(tmp_path / "a.draggan")
    assert (len(loaded.session.past), len(loaded.session.future)) == (5, 1)
    assert differences(saved, loaded) == []


def test_a_file_keeps_the_history_of_its_own_model(edited, tmp_path):
    other = new_session(tiny_generator(32), "other", seed=1, truncation_psi=0.7)
    there = edited.redo().redrawn(other).keep(b"another").click(Point(20, 20))
    for now, before in ((there, 1), (there.redrawn(edited), 7)):
        project.save(tmp_path / "a.draggan", Project(now, ""))
        loaded = project.load(tmp_path / "a.draggan").session
        assert len(loaded.past) == before
        assert len(loaded.shots) == 1
        assert {s.model for s in (*loaded.past, *(shot.session for shot in loaded.shots))} == {now.model}


def test_a_drag_of_another_engine_goes_on_too(generator, tmp_path):
    session = new_session(generator, "tiny", seed=3, truncation_psi=0.7).add(DragPair(Point(5, 5), Point(9, 8)))
    session = session.dragged_by("kinematics", ENGINES["kinematics"].settings(max_steps=1))
    for step in session.run(generator):
        session = session.advance(step)
    project.save(tmp_path / "a.draggan", Project(session, ""))
    loaded = project.load(tmp_path / "a.draggan").session
    assert differences(session, loaded) == []
    (*_, a), (*_, b) = session.run(generator), loaded.run(generator)
    assert torch.equal(a.latent, b.latent)


def test_why_a_drag_was_given_up_comes_back(edited, tmp_path):
    project.save(tmp_path / "a.draggan", Project(replace(edited, phase="stuck", why="mask"), ""))
    loaded = project.load(tmp_path / "a.draggan").session
    assert (loaded.phase, loaded.why) == ("stuck", "mask")


def test_a_drag_goes_on_as_if_it_had_not_been_saved(generator, edited, tmp_path):
    project.save(tmp_path / "a.draggan", Project(edited, ""))
    loaded = project.load(tmp_path / "a.draggan").session
    (*_, a), (*_, b) = edited.run(generator), loaded.run(generator)
    assert torch.equal(a.latent, b.latent)
    assert a.handles == b.handles


def test_what_the_history_shares_is_written_once_and_shared_again(edited, tmp_path):
    project.save(tmp_path / "a.draggan", Project(edited, ""))
    assert len(load_file(tmp_path / "a.draggan")) < 30
    loaded = project.load(tmp_path / "a.draggan").session
    assert loaded.past[0].start is loaded.start
    assert loaded.past[0].photo is loaded.photo
    assert len(loaded._sizes()) == len(edited._sizes())
    project.save(tmp_path / "b.draggan", Project(loaded, ""))
    assert (tmp_path / "a.draggan").stat().st_size == (tmp_path / "b.draggan").stat().st_size


def test_a_long_history_comes_back_whole(generator, tmp_path):
    now = new_session(generator, "tiny", seed=3, truncation_psi=0.7).click(Point(1, 2))
    project.save(tmp_path / "a.draggan", Project(replace(now, past=now.past * (HISTORY - 20)), ""))
    assert len(project.load(tmp_path / "a.draggan").session.past) == HISTORY - 20


def test_a_running_session_is_not_saved_and_a_failure_leaves_the_old_file(edited, tmp_path, monkeypatch):
    path = tmp_path / "a.draggan"
    path.write_text("old")
    with pytest.raises(ValueError, match="something is running: stop it"):
        project.save(path, Project(replace(edited, phase="dragging"), ""))
    monkeypatch.setattr(checkpoint, "save_file", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        project.save(path, Project(edited, ""))
    assert [p.name for p in tmp_path.iterdir()] == ["a.draggan"]
    assert path.read_text() == "old"


@pytest.fixture
def doctored(edited, tmp_path):
    """Writes a file that differs from a good one."""

    def write(change):
        path = tmp_path / "bad.draggan"
        project.save(path, Project(edited, ""))
        tensors = load_file(path)
        document = json.loads(bytes(tensors.pop("document").numpy()))
        change(document, tensors)
        text = json.dumps(document).encode()
        save_file(tensors | {"document": torch.frombuffer(bytearray(text), dtype=torch.uint8)}, path)
        return path

    return write


def set_in(*way, value):
    def change(document, tensors):
        *before, last = way
        for key in before:
            document = document[key]
        document[last] = value

    return change


def set_tensor(*way, value):
    def change(document, tensors):
        for key in way:
            document = document[key]
        tensors[document] = value

    return change


def many(name, count):
    def change(document, tensors):
        document[name] = document[name][:1] * count

    return change


def changed(*way, by):
    """With another tensor, made of the one that there is."""

    def change(document, tensors):
        for key in way:
            document = document[key]
        tensors[document] = by(tensors[document])

    return change


S = "session"
BAD = {
    "another version": set_in("version", value=9),
    "a latent of one dimension": set_tensor(S, "latent", value=torch.zeros(4)),
    "a latent of bytes": set_tensor(S, "start", value=torch.zeros(1, 8, 12, dtype=torch.uint8)),
    "a latent of few bits": set_tensor(S, "start", value=torch.zeros(1, 8, 12, dtype=torch.bfloat16)),
    "a latent that is not finite": set_tensor(S, "latent", value=torch.full((1, 8, 12), float("nan"))),
    "a latent of another shape than the start": set_tensor(S, "start", value=torch.zeros(1, 8, 13)),
    "a tensor that is missing": set_in(S, "latent", value="t99"),
    "a pair outside": set_in(S, "pairs", value=[[1, 1, 400, 1]]),
    "a pair of four points": set_in(S, "pairs", value=[[1] * 8]),
    "half a pair": set_in(S, "pairs", value=[[1, 1]]),
    "a pair that is infinite": set_in(S, "pairs", value=[[1, 1, float("inf"), 1]]),
    "too many pairs": set_in(S, "pairs", value=[[1, i / 9, 2, 2] for i in range(69)]),
    "a phase that runs": set_in(S, "phase", value="dragging"),
    "a phase that there is not": set_in(S, "phase", value="asleep"),
    "a reason that there is not": set_in(S, "why", value="tired"),
    "a negative seed": set_in(S, "seed", value=-1),
    "a yes for a seed": set_in(S, "seed", value=True),
    "a model that is not a name": set_in(S, "model", value=["a"]),
    "a size that is none": set_in(S, "image_size", value=[0, 16]),
    "a mask of another size": set_tensor(
        S, "mask", value=torch.frombuffer(bytearray(zlib.compress(bytes(9))), dtype=torch.uint8)
    ),
    "a mask that is a bomb": set_tensor(
        S, "mask", value=torch.frombuffer(bytearray(zlib.compress(bytes(10**7))), dtype=torch.uint8)
    ),
    "a mask that is cut short": changed(S, "mask", by=lambda packed: packed[:-4]),
    "templates of two lengths": set_tensor(S, "drag", "templates", 0, value=torch.zeros(3)),
    "fewer handles than templates": set_in(S, "drag", "handles", value=[]),
    "templates of whole numbers": changed(S, "drag", "templates", 0, by=torch.Tensor.long),
    "an optimiser of something else": set_in(S, "drag", "adam", value={"step": "t0"}),
    "an optimiser of many steps": set_tensor(S, "drag", "adam", "step", value=torch.zeros(3)),
    "an optimiser with means of two shapes": changed(S, "drag", "adam", "exp_avg", by=lambda mean: mean[:, 1:]),
    "a crop without a side": set_in(S, "photo", "crop", value=[1, 1, 0, 0]),
    "a picture of floats": set_tensor(S, "photo", "shown", value=torch.zeros(32, 16, 3)),
    "a picture of another size": set_tensor(S, "photo", "shown", value=torch.zeros(8, 8, 3, dtype=torch.uint8)),
    "a history of another model": set_in("past", 0, "image_size", value=[32, 32]),
    "a history that names another file": set_in("past", 0, "model", value="/srv/other.pkl"),
    "a small picture of nothing": set_tensor("shots", 0, "thumbnail", value=torch.zeros(0, dtype=torch.uint8)),
    "a setting that no float is as large as": set_in(S, "config", "lr", value=10**400),
    "a precision of all drags": set_in(S, "precision", value="tf32"),
    "too long a past": many("past", HISTORY + 1),
    "too long a future": many("future", HISTORY + 1),
    "too many pictures": many("shots", SHOTS + 1),
    "a thumbnail that is none": lambda d, tensors: tensors.update(
        {d["shots"][0]["thumbnail"]: torch.zeros((1 << 16) + 1, dtype=torch.uint8)}
    ),
    "a small picture of rows": set_tensor("shots", 0, "thumbnail", value=torch.zeros(4, 4, dtype=torch.uint8)),
    "a small picture of floats": set_tensor("shots", 0, "thumbnail", value=torch.zeros(4)),
    "a drag's latent of another shape": set_tensor(S, "drag", "latent", value=torch.zeros(1, 8, 13)),
    "an origin of another shape": set_tensor(S, "drag", "origin", value=torch.zeros(1, 8, 13)),
    "a frame of another width": set_tensor(S, "film", "frames", 1, 0, value=torch.zeros(1, 6, 13)),
    "a frame of two pictures": set_tensor(S, "film", "frames", 1, 0, value=torch.zeros(2, 6, 12)),
    "a frame of more layers": set_tensor(S, "film", "frames", 1, 0, value=torch.zeros(1, 9, 12)),
    "a frame with a handle alone": set_in(S, "film", "frames", 0, 2, value=[]),
    "too long a film": lambda d, _: d[S]["film"].update(frames=d[S]["film"]["frames"][:1] * 65),
    "a truncation that is infinite": set_in(S, "truncation_psi", value=float("inf")),
    "a seed that is no whole number": set_in(S, "seed", value=1.5),
    "no session": set_in(S, value=None),
    "no points": set_in(S, "pairs", 0, value=None),
    "half a size": set_in(S, "image_size", value=[32]),
    "no settings": set_in(S, "config", value=None),
    "a film of nothing": set_in(S, "film", "frames", 0, value=[]),
    "a mask that is a list": set_in(S, "mask", value=[]),
    "an optimiser of nothing": set_in(S, "drag", "adam", value=None),
    "a crop of nothing": set_in(S, "photo", "crop", value=[]),
    "a document without a model": lambda document, _: document.pop("model_sha256"),
}
PARTS = "version|tensor|latent|point|pair|phase|reason|seed|model|image_size|mask|drag|Crop|crop|picture|history|lr|"
PARTS += "precision|film|truncation_psi|document|settings|a file of another kind"


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_does_not_fit_together_is_refused_by_name(change, doctored):
    path = doctored(change)
    with pytest.raises(ValueError, match=r"bad\.draggan is not a session that can be read: .") as told:
        project.load(path)
    why = str(told.value).split("can be read: ")[1].removesuffix("; save or copy it again, or open another")
    assert re.search(PARTS, why)
    assert not re.search(r"Error|argument|object|unpack|convert|type:", why), "in Python's words"


def test_the_fullest_session_is_read(doctored):
    """As many points, frames, pictures and edits as there may be."""
    places = [[x, y] for x in range(4) for y in range(17)]

    def change(document, tensors):
        now = document[S]
        now["pairs"] = [[*place, 9, 9] for place in places]
        now["drag"] |= dict.fromkeys(("starts", "looked", "handles"), places)
        now["drag"]["templates"] = now["drag"]["templates"][:1] * MAX_PAIRS
        now["film"]["frames"] = now["film"]["frames"][-1:] * FRAMES
        tensors[now["film"]["frames"][0][0]] = torch.ones(1, 8, 12).half()  # all layers
        for name, most in (("past", HISTORY), ("future", HISTORY), ("shots", SHOTS)):
            document[name] = document[name][:1] * most

    loaded = project.load(doctored(change)).session
    assert len(loaded.pairs) == len(loaded.drag.handles) == MAX_PAIRS
    assert len(loaded.film.frames) == FRAMES
    assert (len(loaded.past), len(loaded.future), len(loaded.shots)) == (HISTORY, HISTORY, SHOTS)


@pytest.mark.parametrize("number", [0, 2**32 - 1])
def test_the_least_and_the_largest_seed_and_class_come_back(generator, tmp_path, number):
    session = replace(new_session(generator, "tiny", number, 0.7), class_index=number)
    project.save(tmp_path / "a.draggan", Project(session, ""))
    loaded = project.load(tmp_path / "a.draggan").session
    assert (loaded.seed, loaded.class_index) == (number, number)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not tell")
def test_a_file_that_was_read_is_not_held(edited, tmp_path):
    project.save(tmp_path / "a.draggan", Project(edited, ""))
    loaded = project.load(tmp_path / "a.draggan")
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()
    assert loaded.session.steps == edited.steps


def test_a_file_from_before_a_session_had_its_settings_is_read(edited, doctored):
    path = doctored(set_in("settings", value={"lr": 0.3}))
    assert differences(edited, project.load(path).session) == []


def test_of_a_file_from_before_two_handles_could_not_lie_at_one_place_both_can_be_dragged(generator, doctored):
    def change(document, _):
        document[S] |= {"drag": None, "pairs": [[x, 1, y, y] for x in (1, 15.5) for y in (2, 3)]}

    loaded = project.load(doctored(change)).session
    assert [pair.handle for pair in loaded.pairs] == [Point(x, 1) for x in (1, 1.01, 15.5, 15.49)]
    assert [pair.target for pair in loaded.pairs] == [Point(2, 2), Point(3, 3)] * 2
    assert next(loaded.run(generator)).index == 0


def test_a_file_from_before_there_was_a_choice_of_precision_is_read(doctored):
    path = doctored(lambda document, _: document[S].pop("precision"))
    assert project.load(path).session.precision == "auto"


def test_a_file_from_before_its_drag_said_of_which_block_it_is_goes_on_by_the_settings(generator, edited, doctored):
    path = doctored(lambda document, _: document[S]["drag"].pop("feature_resolution"))
    loaded = project.load(path).session
    assert loaded.drag.feature_resolution == edited.config.feature_resolution
    assert next(loaded.run(generator)).index == edited.steps


def test_a_file_from_before_it_said_where_handles_were_set_takes_them_from_where_they_began(edited, doctored):
    def change(document, _):
        kept = document["shots"][0]["session"]
        kept["pairs"] = [ends[:4] for ends in kept["pairs"]]

    loaded = project.load(doctored(change)).session
    assert loaded.shots[0].session.set_at == edited.shots[0].session.handles
    assert edited.shots[0].session.set_at == edited.set_at != edited.shots[0].session.handles


def test_a_file_from_before_the_reason_was_kept_has_none(doctored):
    assert project.load(doctored(lambda document, _: document[S].pop("why"))).session.why is None


def test_a_file_from_before_an_engine_had_a_setting_takes_its_default(doctored):
    kinematics = asdict(ENGINES["kinematics"].settings(max_steps=3))

    def change(document, tensors):
        document[S] |= {"drag": None, "engine": "kinematics", "config": dict(kinematics)}
        document[S]["config"].pop("visible")

    assert asdict(project.load(doctored(change)).session.config) == kinematics

    for damping in (0.05, 1, None):
        kinematics["damping"] = damping
        read = project.load(doctored(change)).session.config.damping
        assert read == damping
        assert type(read) is type(damping), "to the last bit"
    kinematics["damping"] = "0.05"
    with pytest.raises(ValueError, match=r"its damping is 0\.05"):
        project.load(doctored(change))
    kinematics["damping"] = None

    def too_little(document, tensors):
        change(document, tensors)
        document[S]["config"].pop("pull")

    with pytest.raises(ValueError, match="its settings are not those of its engine"):
        project.load(doctored(too_little))


def test_other_files_are_refused_by_name(tmp_path):
    path = tmp_path / "a.draggan"
    with pytest.raises(FileNotFoundError, match=r"a\.draggan"):
        project.load(path)
    for content in (b"", b"hello" * 9, b"\xff" * 16, b"\x80\x04cposix\nsystem\n."):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.draggan is not a session"):
            project.load(path)
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="another kind of safetensors file"):
        project.load(path)


def test_a_file_that_may_not_be_read_is_not_called_damaged(edited, tmp_path, monkeypatch):
    project.save(tmp_path / "a.draggan", Project(edited, ""))
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(Path, "open", lambda *_: (_ for _ in ()).throw(denied))
    with pytest.raises(ValueError, match=r"a\.draggan is not a session that can be read: Permission denied; save"):
        project.load(tmp_path / "a.draggan")


def test_it_fits_its_own_model_only(generator, edited):
    project.check_fits(Project(edited, ""), generator)
    with pytest.raises(ValueError, match="made with another model"):
        project.check_fits(Project(edited, ""), tiny_generator(32))
    with pytest.raises(ValueError, match="made with another model"):
        project.check_fits(Project(replace(edited, latent=edited.latent[:, 1:]), ""), generator)
    for photo in (None, replace(edited.photo, delta=None)):
        project.check_fits(Project(replace(edited, photo=photo), ""), generator)
    photo = replace(edited.photo, delta=Delta({WEIGHT: torch.zeros(8, 8, dtype=torch.float16)}))
    with pytest.raises(ValueError, match=rf"{WEIGHT} has shape \(8, 8\)"):
        project.check_fits(Project(replace(edited, photo=photo), ""), generator)


def test_a_changed_generator_shares_what_stays_and_leaves_the_first_alone(generator):
    before = {name: t.clone() for name, t in generator.state_dict().items()}
    latent = generator.latent(1)
    picture = generator.render(latent)
    change = Delta({WEIGHT: torch.full((8, 8, 3, 3), 0.25, dtype=torch.float16)})
    new = delta.changed(generator, change)
    assert not torch.equal(new.render(latent), picture)
    assert torch.equal(generator.render(latent), picture)
    for name, t in new.state_dict().items():
        assert torch.equal(generator.state_dict()[name], before[name])
        assert (t.data_ptr() == generator.state_dict()[name].data_ptr()) == (name != WEIGHT), name
    whole = Generator(generator.config, {n: t.clone() for n, t in new.state_dict().items()})
    assert torch.allclose(new.render(latent), whole.render(latent), atol=1e-6), "what depends on a weight follows it"
    assert torch.equal(delta.changed(generator, Delta({})).render(latent), picture)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("synthesis.b64.conv1.weight", torch.zeros(8, 8, 3, 3), "which this generator does not have"),
        ("mapping.w_avg", torch.zeros(12), "which this generator does not have"),
        (WEIGHT, torch.zeros(8, 8, 1, 1), r"shape \(8, 8, 1, 1\)"),
        (WEIGHT, torch.full((8, 8, 3, 3), float("inf")).half(), "damaged"),
        (WEIGHT, torch.zeros(8, 8, 3, 3), "damaged"),
    ],
)
def test_a_delta_of_something_else_is_refused(generator, name, change, message):
    with pytest.raises(ValueError, match=message):
        delta.changed(generator, Delta({name: change}))


def test_what_was_undone_of_another_model_is_left_out(generator, tmp_path):
    """The file could not be read again."""
    session = new_session(generator, "tiny", seed=3, truncation_psi=0.7).click(Point(1, 2))
    now = session.redrawn(new_session(tiny_generator(32), "other", 1, 0.7)).undo()
    assert [each.model for each in now.future] == ["other"]
    project.save(tmp_path / "a.draggan", Project(now, ""))
    loaded = project.load(tmp_path / "a.draggan").session
    assert (loaded.pending, len(loaded.past), loaded.future) == (Point(1, 2), 1, ())


def test_pictures_of_ones_own_are_told_apart_and_shared(generator, tmp_path):
    session = new_session(generator, "tiny", seed=3, truncation_psi=0.7)
    one, two = (Photo(Crop(9, 9, side), np.full((32, 16, 3), side, dtype=np.uint8), Delta({})) for side in (20, 30))
    now = replace(replace(session, photo=one).click(Point(1, 2)), photo=two).drop()
    project.save(tmp_path / "a.draggan", Project(now, ""))
    loaded = project.load(tmp_path / "a.draggan").session
    assert [each.photo.crop.side for each in (*loaded.past, loaded)] == [20, 30, 30]
    assert loaded.photo is loaded.past[1].photo
    project.save(tmp_path / "b.draggan", Project(replace(now, photo=replace(two, delta=None)), ""))
    assert project.load(tmp_path / "b.draggan").session.photo.delta is None


def test_a_drag_that_knows_no_loss_yet_comes_back(generator, tmp_path):
    """Infinite numbers, which JSON does not have."""
    session = new_session(generator, "tiny", seed=3, truncation_psi=0.7).add(DragPair(Point(5, 5), Point(9, 8)))
    step = next(session.run(generator))
    state = replace(step.state, loss=float("inf"), least=float("inf"))
    project.save(tmp_path / "a.draggan", Project(session.advance(replace(step, state=state)).stop(), ""))
    loaded = project.load(tmp_path / "a.draggan").session
    assert (loaded.drag.loss, loaded.drag.least) == (float("inf"), float("inf"))


def test_of_a_history_too_long_for_a_document_the_last_edits_are_kept(edited, tmp_path, monkeypatch):
    whole, lists = project.pack(Project(edited, "")), project.MOST_LISTS
    document = bytes(load(whole)["document"].tolist())
    for bytes_, most in ((len(document) - 1, lists), (len(document), document.count(b"[") + document.count(b"{") - 1)):
        monkeypatch.setattr(project, "LARGEST_DOCUMENT", bytes_)
        monkeypatch.setattr(project, "MOST_LISTS", most)
        (tmp_path / "long.draggan").write_bytes(whole)
        with pytest.raises(ValueError, match="its document is too long"):
            project.load(tmp_path / "long.draggan")
        project.save(tmp_path / "a.draggan", Project(edited, ""))
        loaded = project.load(tmp_path / "a.draggan").session
        assert 0 < len(loaded.past) < len(edited.past)
        kept = replace(edited, past=edited.past[-len(loaded.past) :])
        assert differences(kept, loaded) == []


def test_a_history_is_counted_before_it_is_read(edited, monkeypatch):
    """One of 60,000 edits took half a minute to refuse."""
    writer = project._Writer()
    now = writer.session(edited)
    monkeypatch.setattr(Reader, "_session", lambda self, document: pytest.fail("it was read"))
    with pytest.raises(ValueError, match="its history has more than 200 edits"):
        Reader(writer.tensors).session({"session": now, "past": [now] * (HISTORY + 1), "future": [], "shots": []})


def test_a_tensor_that_is_named_often_is_looked_through_once(edited, monkeypatch):
    """It may have gigabytes, and 200 edits may name it 70 times each."""
    writer = project._Writer()
    now = writer.session(edited)
    looked, isfinite = [], torch.Tensor.isfinite
    monkeypatch.setattr(torch.Tensor, "isfinite", lambda tensor: (looked.append(tensor), isfinite(tensor))[1])
    Reader(writer.tensors).session({"session": now, "past": [now] * 20, "future": [], "shots": []})
    assert 0 < len(looked) <= len(writer.tensors)
