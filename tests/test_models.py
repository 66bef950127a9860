"""The table, and models by their names: found, downloaded, loaded, verified, removed, kept in memory."""

import hashlib
import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from draggan.registry import download as downloads
from draggan.registry import models
from draggan.registry.cache import ModelCache
from draggan.registry.download import DownloadError, read_record
from draggan.registry.models import MODELS, available_models, find, load, step_size
from draggan.registry.table import Source
from draggan.registry.transfer import Patience
from draggan.stylegan2 import checkpoint
from draggan.stylegan2.checkpoint import CheckpointError
from tests.file_server import FileServer, Reply
from tests.foreign_files import write_nvidia_pytorch, write_nvidia_tensorflow, write_rosinality
from tests.networks import random_tensors, tiny_config

CONFIG_F = ["stylegan2-ffhq", "stylegan2-cat", "stylegan2-church", "stylegan2-horse"]
TEN = [*CONFIG_F, "ada-ffhq", "ada-afhqcat", "ada-afhqdog", "ada-afhqwild", "ada-brecahad", "ada-metfaces"]
CAT = "ada-afhqcat"
QUICK = Patience(failures=1, backoff=0.001)
GONE = Reply(status=404)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Every request that does not go to this machine fails."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY", "DRAGGAN_MIRROR", "DRAGGAN_CHECKPOINTS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGGAN_CHECKPOINTS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


def generator_bytes(tmp_path: Path, seed: int = 0) -> bytes:
    config = tiny_config(16)
    path = tmp_path / f"{seed}.safetensors"
    checkpoint.write(path, config, random_tensors(config, seed))
    return path.read_bytes()


@pytest.fixture
def weights(tmp_path):
    return generator_bytes(tmp_path)


@pytest.fixture
def offer(server, monkeypatch):
    """Puts a model with these files (their content, None where the server has none) into the table."""

    def offer(*contents: bytes | None, sha256: str | None = None) -> list[str]:
        urls, sources = [], []
        for i, content in enumerate(contents):
            name = f"cat{i}.pkl"
            urls.append(server.add(f"/{name}", content or b"", then=Reply() if content else GONE))
            sources.append(Source(name, (urls[-1],), sha256))
        row = replace(models.spec_of(CAT), height=16, width=16, sources=tuple(sources))
        monkeypatch.setattr(models, "MODELS", tuple(row if spec.name == CAT else spec for spec in MODELS))
        return urls

    return offer


def run(name: str = CAT) -> list[str]:
    return [step.phase for step in models.download(name, patience=QUICK)]


def test_the_ten_are_in_the_table():
    assert [spec.name for spec in MODELS[1:11]] == TEN
    assert {spec.name: spec.resolution for spec in MODELS[1:11]} == dict(
        zip(TEN, [1024, 256, 256, 256, 1024, 512, 512, 512, 512, 1024], strict=True)
    )


def test_names_and_files_are_unique():
    files = [source.filename for spec in MODELS for source in spec.sources]
    assert len(set(files)) == len(files)
    assert len(set(available_models())) == len(MODELS)


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_rows(spec):
    for source in spec.sources:
        for url in source.urls:
            assert url.startswith("https://")
            assert url.endswith(f"/{source.filename}")
    assert spec.lr == (2e-3 if any(word in spec.name for word in ("ffhq", "afhqcat", "car", "plush")) else 1e-3)
    if "NVIDIA" in spec.licence.name or "nvidia" in "".join(spec.urls):
        assert not spec.licence.commercial
        assert "non-commercial" in spec.licence.name


def test_only_the_hash_that_was_computed_is_in_the_table():
    (source,) = models.spec_of("plush-256").sources
    assert source.sha256 == hashlib.sha256(find("plush-256").read_bytes()).hexdigest()
    assert all(s.sha256 is None for spec in MODELS[1:] for s in spec.sources)


def test_step_size():
    assert step_size("ada-afhqcat") == 2e-3
    assert step_size("ada-afhqdog") == 1e-3
    assert step_size("some/file.pkl") == 1e-3


def test_the_embedded_model_loads_without_network(folder):
    assert load("plush-256", "cpu").image_size == (256, 256)
    assert not folder.exists()


def test_an_unknown_name_lists_the_names(tmp_path):
    for call in (load, find, models.state, models.verify, models.remove, lambda n: list(models.download(n))):
        with pytest.raises(ValueError, match=r"'ada-cat'.*ada-afhqcat"):
            call("ada-cat")
    with pytest.raises(FileNotFoundError, match=r"gone\.pkl"):
        load(tmp_path / "gone.pkl", "cpu")


def test_a_model_is_downloaded_when_it_is_loaded(folder, offer, server, weights):
    (url,) = offer(weights)
    before = models.state(CAT)
    generator = load(CAT, "cpu")
    assert torch.equal(generator.mapping.w_avg, random_tensors(tiny_config(16))["mapping.w_avg"])
    after = models.state(CAT)
    assert (before.path, before.size, before.record) == (None, 0, None)
    assert (after.path, after.size) == (folder / "cat0.pkl", len(weights))
    assert after.record is not None
    assert after.record.url == url
    load(CAT, "cpu")
    assert len(server.requests) == 1


def test_the_mirror_is_asked_first(folder, offer, server, weights, monkeypatch):
    offer(weights)
    mirrored = server.add("/mirror/cat0.pkl", weights)
    monkeypatch.setenv("DRAGGAN_MIRROR", f"{server.url}/mirror/")
    run()
    record = read_record(folder / "cat0.pkl")
    assert record is not None
    assert record.url == mirrored
    assert [r.path for r in server.requests] == ["/mirror/cat0.pkl"]


def test_a_second_source_keeps_its_own_name_and_is_shown(folder, offer, weights):
    urls = offer(None, weights)
    run()
    state = models.state(CAT)
    assert state.path == folder / "cat1.pkl"
    assert state.record is not None
    assert state.record.url == urls[1]
    assert find(CAT) == folder / "cat1.pkl"


def test_a_file_that_is_no_generator_does_not_count(folder, offer, weights):
    offer(weights[:-1], weights)
    run()
    assert find(CAT) == folder / "cat1.pkl"
    assert not (folder / "cat0.pkl").exists()


def test_when_nothing_works_the_error_says_all(folder, offer):
    urls = offer(None, b"nonsense")
    with pytest.raises(DownloadError) as caught:
        run()
    for part in (*urls, "status 404", "not a generator", "cat0.pkl or cat1.pkl", str(folder)):
        assert part in str(caught.value)


def test_a_file_put_there_by_hand_is_found(folder, offer, server, weights):
    offer(None, None)
    folder.mkdir()
    (folder / "cat1.pkl").write_bytes(weights)
    assert run() == []
    assert load(CAT, "cpu").image_size == (16, 16)
    assert models.state(CAT).record is None
    assert models.verify(CAT).expected is None
    assert server.requests == []


def test_a_cancelled_download_shows_in_the_state_and_goes_on(folder, offer, server, weights):
    offer(weights)
    server.add("/cat0.pkl", weights, Reply(pace=0.02))
    steps = models.download(CAT, patience=QUICK)
    while next(steps).received == 0:
        pass
    steps.close()
    assert 0 < models.state(CAT).unfinished < len(weights)
    run()
    assert models.state(CAT).unfinished == 0
    assert models.verify(CAT).problem == ""


def test_verify(folder, offer, weights):
    offer(weights)
    with pytest.raises(FileNotFoundError, match="fetch it"):
        models.verify(CAT)
    run()
    verdict = models.verify(CAT)
    assert verdict.sha256 == verdict.expected == hashlib.sha256(weights).hexdigest()
    assert verdict.problem == ""
    assert verdict.recorded
    assert not models.verify("plush-256").recorded
    damaged = bytearray(weights)
    damaged[-1] ^= 1  # the structure is whole, a weight is not
    find(CAT).write_bytes(damaged)
    assert "expected" in models.verify(CAT).problem
    find(CAT).with_name("cat0.pkl.json").unlink()
    assert models.verify(CAT).problem == ""  # nothing is left to compare it with
    find(CAT).write_bytes(weights[:-1])
    assert "not a generator" in models.verify(CAT).problem


def test_another_model_under_the_name_of_one_is_refused(folder, offer, weights, tmp_path):
    config = tiny_config(32)
    checkpoint.write(tmp_path / "other.safetensors", config, random_tensors(config, 0))
    other = (tmp_path / "other.safetensors").read_bytes()
    offer(other, weights)
    run()
    assert find(CAT) == folder / "cat1.pkl"
    find(CAT).write_bytes(other)
    find(CAT).with_name("cat1.pkl.json").unlink()
    assert "its pictures have 32 x 32 pixels, those of ada-afhqcat 16 x 16" in models.verify(CAT).problem


def test_the_hash_of_the_table_is_held_to(folder, offer, weights, tmp_path):
    offer(generator_bytes(tmp_path, seed=1), weights, sha256=hashlib.sha256(weights).hexdigest())
    run()
    assert find(CAT) == folder / "cat1.pkl"


def test_remove(folder, offer, weights):
    offer(weights)
    run()
    assert models.remove(CAT) == (folder / "cat0.pkl",)
    assert models.state(CAT).path is None
    assert [p for p in folder.iterdir() if p.suffix != ".lock"] == []
    assert models.remove(CAT) == ()
    with pytest.raises(ValueError, match="stays"):
        models.remove("plush-256")


def test_the_converted_file_alone_is_enough(folder, offer, server, weights):
    offer(weights)
    folder.mkdir()
    (folder / "cat0.pkl.safetensors").write_bytes(weights)
    assert models.state(CAT).path == folder / "cat0.pkl.safetensors"
    assert load(CAT, "cpu").image_size == (16, 16)
    assert models.remove(CAT) == (folder / "cat0.pkl.safetensors",)
    assert server.requests == []


@pytest.mark.parametrize("write", [write_nvidia_pytorch, write_nvidia_tensorflow, write_rosinality])
def test_a_foreign_file_is_downloaded_and_converted_once(folder, offer, tmp_path, write):
    config = tiny_config(16)
    tensors = random_tensors(config)
    content = write(tmp_path / "foreign", config, tensors).read_bytes()
    offer(content[:-100], content)
    assert torch.equal(load(CAT, "cpu").synthesis.b4.const, tensors["synthesis.b4.const"])
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".lock") == [
        "cat1.pkl",
        "cat1.pkl.json",
        "cat1.pkl.safetensors",
    ]
    assert models.convert(find(CAT)) == folder / "cat1.pkl.safetensors"
    assert models.remove(CAT) == (folder / "cat1.pkl", folder / "cat1.pkl.safetensors")


def test_convert(tmp_path, weights):
    path = tmp_path / "0.safetensors"
    assert models.convert(path) == path
    (tmp_path / "bad.pkl").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"bad\.pkl"):
        models.convert(tmp_path / "bad.pkl")


def test_why_what_is_converted_cannot_be_kept_is_said(tmp_path):
    resource = pytest.importorskip("resource")
    path, usual = tmp_path / "cat.pkl", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_nvidia_pytorch(path, tiny_config(16), random_tensors(tiny_config(16)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, usual[1]))
    try:
        with pytest.raises(
            OSError, match=r"cannot be written \(.*File too large.*\): copy cat\.pkl to a folder that can"
        ):
            models.convert(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def test_the_folder(monkeypatch, tmp_path):
    assert models.default_folder() == models.CHECKOUT
    monkeypatch.setattr(models, "EMBEDDED", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    assert models.default_folder() == tmp_path / "cache" / "draggan"
    monkeypatch.setenv("DRAGGAN_CHECKPOINTS", "~/elsewhere")
    assert models.default_folder() == Path.home() / "elsewhere"
    assert models.metrics_folder(Path("~/own")) == Path.home() / "own" / "metrics"
    assert models.find(CAT, Path("~/own")) == Path.home() / "own" / "afhqcat.pkl"


def test_without_a_home_only_downloads_need_a_folder(monkeypatch, tmp_path, plush):
    def homeless(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    monkeypatch.setattr(models, "EMBEDDED", models.CHECKOUT)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert models.find("plush-256").exists()
    assert models.metrics_folder() is None
    with pytest.raises(FileNotFoundError, match="no home: name a folder for models with --checkpoints"):
        models.find(CAT)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_locks_are_for_all_accounts_that_share_a_folder(tmp_path):
    steps = downloads.download(["http://127.0.0.1:9/f"], tmp_path / "m.pkl")
    next(steps)
    assert (tmp_path / "m.pkl.lock").stat().st_mode & 0o777 == 0o666
    steps.close()


def test_states_has_the_whole_table(folder):
    assert [state.spec for state in models.states()] == list(MODELS)
    assert [state.spec.name for state in models.states() if state.path] == ["plush-256"]


def write_generator(tmp_path: Path, seed: int) -> Path:
    generator_bytes(tmp_path, seed)
    return tmp_path / f"{seed}.safetensors"


@pytest.fixture
def loads(monkeypatch):
    """The loads that really happened, each slow."""
    done = []
    real = models.load

    def slow(path, *others):
        done.append(path)
        time.sleep(0.05)
        return real(path, *others)

    monkeypatch.setattr(models, "load", slow)
    return done


def test_the_cache_loads_once_for_many_threads(tmp_path, loads):
    path, cache, found = write_generator(tmp_path, 0), ModelCache(), []
    threads = [threading.Thread(target=lambda: found.append(cache.load(path, "cpu"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(generator) for generator in found}) == 1
    assert loads == [path]


def test_the_cache_keeps_the_last_used(tmp_path, loads):
    a, b, c = (write_generator(tmp_path, seed) for seed in range(3))
    cache = ModelCache(keep=2)
    for path in (a, b, a, c, a, b):
        cache.load(path, "cpu")
    assert loads == [a, b, c, b]  # c drove b out, and the last b drives c out
    with pytest.raises(ValueError, match="keep is 0"):
        ModelCache(keep=0)


def test_the_cache_tries_again_after_an_error_and_a_change(tmp_path, loads):
    path, cache = tmp_path / "0.safetensors", ModelCache()
    with pytest.raises(FileNotFoundError):
        cache.load(path, "cpu")
    path.write_bytes(b"nonsense")
    for _ in range(2):
        with pytest.raises(CheckpointError):
            cache.load(path, "cpu")
    write_generator(tmp_path, 0)
    assert cache.load(path, "cpu") is cache.load(path, "cpu")
    assert loads == [path] * 3


def test_the_cache_uses_what_is_in_memory_where_the_file_has_gone_and_downloads_nothing(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "download", lambda *_: pytest.fail("nobody asked for a download"))
    cache, file = ModelCache(keep=1), folder / f"{models.spec_of(CAT).filename}.safetensors"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=f"the file of {CAT} is not here: choose the model again"):
        cache.load(CAT, "cpu")
    file.write_bytes(generator_bytes(tmp_path))
    loaded = cache.load(CAT, "cpu")
    file.unlink()
    assert cache.load(CAT, "cpu") is loaded
    cache.load(write_generator(tmp_path, 1), "cpu")
    with pytest.raises(FileNotFoundError, match="choose the model again"):
        cache.load(CAT, "cpu")


def test_a_model_that_is_put_away_has_given_its_memory_back_when_another_is_loaded(tmp_path, monkeypatch):
    cache, load, there = ModelCache(keep=1), models.load, []
    model = cache.load(write_generator(tmp_path, 0), "cpu")
    model.dragging_in(torch.bfloat16)  # each holds the other
    model = weakref.ref(model)
    monkeypatch.setattr(models, "load", lambda *given: there.append(model()) or load(*given))
    cache.load(write_generator(tmp_path, 1), "cpu")
    assert there == [None]


def test_the_cache_reads_a_file_once_for_its_sha_256_and_knows_those_of_the_last_files(tmp_path, monkeypatch):
    monkeypatch.setattr("draggan.registry.cache.DIGESTS", 2)
    read, cache = [], ModelCache()
    monkeypatch.setattr("draggan.registry.cache.hash_file", lambda path: read.append(path.name) or path.read_text())
    for name in ("0.pkl", "1.pkl", "2.pkl"):
        (tmp_path / name).write_text(f"that of {name}")
    for name in ("0.pkl", "0.pkl", "1.pkl", "2.pkl", "0.pkl"):
        assert cache.sha256(tmp_path / name) == f"that of {name}"
    assert read == ["0.pkl", "1.pkl", "2.pkl", "0.pkl"]


def test_which_models_show_faces():
    faces = {"stylegan2-ffhq", "ada-ffhq", "ada-metfaces", "ffhq-512", "ffhq-256"}
    assert {name for name in models.available_models() if models.shows_faces(name)} == faces
    assert models.shows_faces("/somewhere/My-FFHQ-finetuned.pkl")
    assert not models.shows_faces("/ffhq/cars.pkl")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[..] DefaultCPUAllocator: can't allocate memory")])
def test_a_download_that_memory_is_too_small_to_check_is_kept(folder, server, tmp_path, monkeypatch, error):
    def failing(path):
        raise error

    path = server.add("/m.safetensors", generator_bytes(tmp_path))
    source = Source("m.safetensors", (path, path.replace("127.0.0.1", "localhost")))
    spec = replace(models.spec_of(CAT), height=16, width=16, sources=(source,))
    monkeypatch.setattr(models, "MODELS", (spec,))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_read_ours", failing)
        with pytest.raises(type(error)):
            list(models.download(CAT, patience=QUICK))
    list(models.download(CAT, patience=QUICK))
    assert len(server.requests) == 1, "what has come is not thrown away"


def test_a_load_that_fails_takes_no_later_one_away(tmp_path, monkeypatch):
    slow, other = (tmp_path / name for name in ("slow.pkl", "other.pkl"))
    began, go, loaded = threading.Event(), threading.Event(), []

    def loading(path, *_):
        loaded.append(path)
        if loaded == [slow]:
            began.set()
            go.wait()
            raise MemoryError
        return object()

    monkeypatch.setattr(models, "load", loading)
    cache = ModelCache(keep=1)
    for path in (slow, other):
        path.write_bytes(b"")
    with ThreadPoolExecutor() as pool:
        first = pool.submit(cache.load, slow, "cpu")
        assert began.wait(60)
        cache.load(other, "cpu")
        later = cache.load(slow, "cpu")
        go.set()
        assert isinstance(first.exception(), MemoryError)
    assert cache.load(slow, "cpu") is later
