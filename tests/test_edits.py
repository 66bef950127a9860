"""The measure of edits: its parts in small, what it keeps, and the truth it measures against."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import draggan
from benchmarks import edits, flow
from benchmarks.cases import DRAGS, Case, read_cases
from benchmarks.detector import amiss, mismarked, missed
from benchmarks.engines import ENGINES
from benchmarks.frechet import frechet
from benchmarks.make_drags import KINDS, make
from benchmarks.make_drags import main as make_drags
from benchmarks.truth import landmarks_of, surface_of
from draggan.geometry import DragPair, Point
from draggan.render import to_picture
from draggan.stylegan2.distribution import Distribution

PARTS = {
    "known": ("after", "floor", "exact", "amiss", "MSE after", "Mahalanobis"),
    "faces": ("not detected", "after"),
    "pairs": ("MSE x 100",),
    "back": ("MSE there and back", "MSE going on"),
    "mask": ("outside, free", "outside, masked"),
}


@pytest.fixture(scope="module", autouse=True)
def loaded_once(plush):
    """All runs have the model that is here, of which all is worked out that its first drag needs."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(draggan, "load", lambda *_, **__: plush)
        yield


def short_file(tmp_path):
    drags = [row for row in json.loads(DRAGS.read_text())["drags"] if row["kind"] == "mouth"][:1]
    file = tmp_path / "drags.json"
    file.write_text(json.dumps({"drags": drags}))
    return file


@pytest.mark.parametrize("part", PARTS)
def test_each_part_compares_engines(part, tmp_path, capsys):
    kept = tmp_path / "figures.jsonl"
    command = ["--parts", part, "--drags", str(short_file(tmp_path)), "--n", "1", "--max-steps", "1"]
    edits.main([*command, "--device", "cpu", "--json", str(kept)])
    table = capsys.readouterr().out
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert {row["engine"] for row in rows} == set(ENGINES)
    for column in PARTS[part]:
        assert column in table
        assert all(column in row["figures"] for row in rows)


def test_an_engine_may_have_other_settings(tmp_path, capsys):
    kept, other = tmp_path / "figures.jsonl", "kinematics:stride=0.001,space=w,max_steps=1"
    command = ["--drags", str(short_file(tmp_path)), "--device", "cpu", "--json", str(kept)]
    edits.main([*command, "--engines", "kinematics:max_steps=1", other])
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [row["engine"] for row in rows] == ["kinematics:max_steps=1", other]
    assert [row["figures"]["steps"] for row in rows] == [1, 1]
    assert rows[0]["figures"]["MSE after"] != rows[1]["figures"]["MSE after"]
    assert f"| mouth | {other} | 1 |" in capsys.readouterr().out
    for wrong, told in (
        ("kinematics:lr=1", "lr is not a setting of this engine"),
        ("other", "engine 'other' is not one of draggan, kinematics"),
    ):
        with pytest.raises(SystemExit):
            edits.main([*command, "--engines", wrong])
        assert told in capsys.readouterr().err


def test_pairs_have_lpips_where_it_can_be_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(edits.parts, "lpips", lambda image, answer: (image - answer).square().mean().item())
    command = ["--parts", "pairs", "--n", "1", "--max-steps", "1", "--engines", "kinematics", "--device", "cpu"]
    edits.main([*command, "--json", str(tmp_path / "figures.jsonl")])
    assert "| MSE x 100 before | MSE x 100 | LPIPS x 10 before | LPIPS x 10 |" in capsys.readouterr().out
    figures = json.loads((tmp_path / "figures.jsonl").read_text())["figures"]
    for when in ("", " before"):
        assert 10 * figures[f"LPIPS x 10{when}"] == pytest.approx(figures[f"MSE x 100{when}"])


def test_drags_of_freedragbench_go_there_and_back(tmp_path, capsys):
    file = tmp_path / "plush.jsonl"
    row = {"seed": 3, "points": {"handle": [[145, 183], [100, 60]], "target": [[140, 178], [101, 62]]}}
    file.write_text(json.dumps(row) + "\n\n" + json.dumps(row | {"seed": 4}) + "\n")
    cases = read_cases(file)
    assert [(case.seed, case.kind) for case in cases] == [(3, "plush"), (4, "plush")]
    assert (cases[0].pairs[0].handle, cases[0].pairs[1].target) == (Point(183, 145), Point(62, 101)), "y comes first"
    command = ["--drags", str(file), "--max-steps", "1", "--engines", "kinematics", "--device", "cpu"]
    edits.main(["--parts", "back", *command])
    assert "| plush | kinematics | 2 |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no known answer: measure them with --parts back"):
        edits.main(["--parts", "known", *command])


def test_pairs_of_any_model_are_joined_by_a_flow(tmp_path, capsys, plush):
    flows = tmp_path / "flows"
    command = ["--parts", "pairs", "--n", "2", "--max-steps", "1", "--engines", "kinematics", "--device", "cpu"]
    with pytest.raises(ValueError, match="2 flows are missing"):
        edits.main([*command, "--flows", str(flows)])
    first = np.asarray(Image.open(flows / "2-1.png"))
    assert np.array_equal(first, to_picture(plush.render(plush.latent(2))))
    assert 0 < np.abs(first - np.asarray(Image.open(flows / "2-2.png")).astype(float)).mean() < 50
    rng = np.random.RandomState(0)
    for seed in (0, 2):
        np.save(flows / f"{seed}.npy", rng.randn(256, 256, 2).astype(np.float32) * 30)
    found = flow.pairs_along(flows, "2", (256, 256), 32)
    moves = np.load(flows / "2.npy")
    for pair in found:
        move = moves[int(pair.handle.y), int(pair.handle.x)]
        assert (pair.target.x - pair.handle.x, pair.target.y - pair.handle.y) == pytest.approx(tuple(move), abs=1e-4)
        assert pair.target.inside((256, 256))
    assert len({pair.handle for pair in found}) == 32
    edits.main([*command, "--flows", str(flows)])
    assert "| 32 points | kinematics | 2 |" in capsys.readouterr().out
    np.save(flows / "2.npy", moves[:9])
    with pytest.raises(ValueError, match=r"float32 of shape \(9, 256, 2\)"):
        flow.pairs_along(flows, "2", (256, 256), 32)
    np.save(flows / "2.npy", moves + 1e4)
    with pytest.raises(ValueError, match="only 0 of its pixels stay inside the picture, 32 are needed"):
        flow.pairs_along(flows, "2", (256, 256), 32)
    with pytest.raises(SystemExit):
        edits.main([*command, "--model", "stylegan2-cat"])
    assert "of stylegan2-cat no correspondence is known: give --flows FOLDER" in capsys.readouterr().err


def test_a_run_goes_on_where_it_was_cut_off(tmp_path, capsys, monkeypatch):
    kept = tmp_path / "figures.jsonl"
    command = ["--drags", str(short_file(tmp_path)), "--max-steps", "1", "--device", "cpu", "--json", str(kept)]
    edits.main([*command, "--engines", "kinematics"])
    first = capsys.readouterr().out
    with kept.open("a") as file:
        file.write('{"part": "known", "eng')  # the machine stopped here
    monkeypatch.setitem(ENGINES, "kinematics", lambda *_: pytest.fail("measured again"))
    edits.main([*command, "--engines", "kinematics"])
    assert capsys.readouterr().out == first


def test_made_drags_are_possible_and_of_their_kind(tmp_path):
    make_drags(["--n", "1", "--first-seed", "77", "--out", str(tmp_path / "made.json")])
    cases = read_cases(tmp_path / "made.json")
    assert [case.kind for case in cases] == [kind.name for kind in KINDS]
    for case, kind in zip(cases, KINDS, strict=True):
        assert case == next(make(kind, case.seed))
        answer = landmarks_of(torch.tensor([case.target_z], dtype=torch.float64))[0]
        rows = [edits.parts.LANDMARKS.index(name) for name in case.landmarks]
        targets = torch.tensor([(p.target.x, p.target.y) for p in case.pairs])
        assert (answer[rows] - targets).abs().max() < 0.05


def test_landmarks_are_measured_to_targets_to_handles_and_by_their_ways():
    pairs = (DragPair(Point(10, 10), Point(40, 50)), DragPair(Point(100, 100), Point(100, 90)))
    case = Case(0, "two", ("chin", "nose"), pairs, ())
    found = torch.zeros(1, 8, 2)
    found[0, 5], found[0, 0] = torch.tensor([10.0, 13.0]), torch.tensor([96.0, 100.0])
    exact = found.clone()
    exact[0, 5] += torch.tensor([30.0, 40.0])
    exact[0, 0] += torch.tensor([0.0, -10.0])
    assert mismarked(found, case) == missed(exact, case) == pytest.approx(3.5)
    assert amiss(found, exact, case) == pytest.approx(0, abs=1e-5)
    assert amiss(found, found, case) == pytest.approx(30)


def test_the_held_out_drags_share_no_seed_with_those_tuned_on():
    held_out = read_cases(DRAGS.with_name("drags_held_out.json"))
    assert len(held_out) == 60
    assert not {case.seed for case in held_out} & {case.seed for case in read_cases()}


def test_points_of_the_surface_lie_on_the_picture_and_move_together():
    z = torch.randn(2, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    here, there = surface_of(z[:1], z[:1].lerp(z[1:], 0.1), 32)
    assert here.shape == there.shape == (32, 2)
    assert here.min() >= 0
    assert here.max() <= 255
    assert 0 < (there - here).norm(dim=1).mean() < 40
    same, again = surface_of(z[:1], z[:1], 32)
    assert torch.equal(same, again)


def test_frechet_distance_of_shifted_and_scaled_normals():
    x = torch.randn(20000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert frechet(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet(x, x + torch.tensor([3.0, 0, 4.0])) == pytest.approx(25)
    assert frechet(x, 2 * x) == pytest.approx(torch.cov(x.T).trace().item() + x.mean(dim=0).square().sum().item())
    with pytest.raises(ValueError, match="needs at least 2"):
        frechet(x[:1], x)


def test_drawn_latents_lie_in_the_distribution_and_others_do_not(plush):
    distribution = Distribution(plush)
    drawn = [distribution.distance(plush.latent(seed)) for seed in range(20)]
    assert distribution.distance(distribution.mean.expand(1, plush.num_ws, -1)) == pytest.approx(0, abs=1e-6)
    assert max(drawn) < distribution.distance(plush.latent(0) + 0.3 * torch.randn(1, 14, 256))


def test_a_detector_may_be_given(plush, monkeypatch):
    module = type(sys)("given_detector")
    module.find = lambda image: torch.full((len(image), 8, 2), float("nan"))
    monkeypatch.setitem(sys.modules, "given_detector", module)
    bench = edits.parts.Bench(plush, edits._detector("given_detector:find"))
    (task, *_) = edits.tasks("faces", bench, (), 1, 0, 1)
    assert task.run(ENGINES["kinematics"]) == {"not detected": 1.0}


def test_of_any_number_of_landmarks_one_five_and_all_are_dragged(plush):
    places = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0)) * 255
    bench = edits.parts.Bench(plush, lambda image: places)
    dragged = {}

    def engine(generator, latent, pairs, mask, max_steps, resume=None):
        dragged[len(pairs)] = [(pair.handle.x, pair.handle.y) for pair in pairs]
        return draggan.drag(generator, latent, pairs, config=draggan.DragConfig(max_steps=0))

    tasks = edits.tasks("faces", bench, (), 1, 0, 1)
    assert [task.kind for task in tasks] == ["1 points", "5 points", "68 points"]
    for task in tasks:
        task.run(engine)
    for rows in ([0], [0, 17, 34, 50, 67], range(68)):
        assert dragged[len(rows)] == [tuple(place) for place in places[0, list(rows)].tolist()]
