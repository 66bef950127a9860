"""What users send goes when it is not used any more, and with the server."""

import errno
import os
import signal
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from gradio.utils import get_upload_folder

from draggan.web import sent
from draggan.web.sent import FOLDER, as_sent, kept_while_serving, sweep, use
from tests.browser import serving
from tests.networks import tiny_generator
from tests.shelf import serve


def send(address, name, content=b"a picture of somebody"):
    """-> where the server keeps it"""
    with httpx.Client(base_url=address, trust_env=False) as http:
        answer = http.post("gradio_api/upload", files={"files": (name, content)})
    assert answer.status_code == 200
    return Path(answer.json()[0])


def test_what_users_sent_has_the_name_that_they_know(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    mine, own = tmp_path / "2bd595" / "my own.pkl", Path("models", "cat.pkl")
    assert as_sent(f"{mine} is no network, {own} is") == f"my own.pkl is no network, {own} is"


@pytest.mark.parametrize("told", [True, False])
def test_the_folder_is_the_servers_own_and_goes_with_it(told, tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    if told:
        monkeypatch.setenv(FOLDER, str(tmp_path / "new"))
    before = os.environ.get(FOLDER), signal.getsignal(signal.SIGTERM)
    with kept_while_serving() as folder:
        assert get_upload_folder() == str(folder)
        assert not told or folder.parent == tmp_path / "new"
        (folder / "hash").mkdir()
        (folder / "hash" / "me.png").write_bytes(b"me")
    assert not folder.exists()
    assert (os.environ.get(FOLDER), signal.getsignal(signal.SIGTERM)) == before


def test_a_folder_that_cannot_be_written_is_said_with_the_variable_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv(FOLDER, str(tmp_path / "file"))
    said = rf"file cannot be written \(.+\): name another place in {FOLDER}"
    with pytest.raises(OSError, match=said), kept_while_serving():
        pass
    monkeypatch.setenv(FOLDER, str(tmp_path))
    denied = PermissionError(errno.EACCES, "Permission denied")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: (_ for _ in ()).throw(denied))
    with pytest.raises(OSError, match=r"cannot be written \(Permission denied\)"), kept_while_serving():
        pass


def test_a_server_that_is_told_to_end_leaves_nothing(tmp_path):
    with serving(tmp_path, 17948, **{FOLDER: str(tmp_path / "sent")}) as address:
        path = send(address, "me.png")
        assert path.read_bytes() == b"a picture of somebody"
        assert len(list((tmp_path / "sent").glob("draggan-*"))) == 1
        assert path.is_relative_to(tmp_path / "sent")
    assert not list((tmp_path / "sent").glob("draggan-*"))


def test_what_is_not_used_is_put_away_and_what_is_stays(tmp_path, monkeypatch):
    monkeypatch.setattr("draggan.web.page.CLEAN_SECONDS", 0.2)
    monkeypatch.setattr("draggan.web.page.IDLE_SECONDS", 3)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    page, here = serve(tiny_generator(64), 17949, max_users=5)
    try:
        left, used = send(here, "me.png"), send(here, "mine.pkl", b"a model")
        modified, until = used.stat().st_mtime_ns, time.monotonic() + 30
        while left.exists() and time.monotonic() < until:
            use(str(used))
            time.sleep(0.1)
        assert not left.exists()
        assert used.read_bytes() == b"a model"
        assert used.stat().st_mtime_ns == modified, "it would be loaded again"
    finally:
        page.close()


def test_what_is_read_once_goes_soon_and_so_does_what_broke_off(tmp_path, monkeypatch):
    """Also after a look that failed."""
    looks = [OSError("too many open files")]
    real = sent.sweep
    monkeypatch.setattr(sent, "sweep", lambda folder: (_ for _ in ()).throw(looks.pop()) if looks else real(folder))
    monkeypatch.setattr(sent, "SOON_SECONDS", 1)
    monkeypatch.setattr(sent, "IDLE_SECONDS", 3)
    monkeypatch.setattr(sent, "SWEEP_SECONDS", 0.1)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    with kept_while_serving() as folder:
        (folder / "hash").mkdir()
        read = [folder / "tmpbroken", folder / "hash" / "me.png", folder / "hash" / "1.draggan"]
        model = [folder / "hash" / "mine.PKL", folder / "hash" / "mine.PKL.safetensors"]
        for path in read + model:
            path.write_bytes(b"it")
        until = time.monotonic() + 30
        while any(path.exists() for path in read) and time.monotonic() < until:
            time.sleep(0.05)
        assert [path.exists() for path in read + model] == [False, False, False, True, True]
        begun = time.monotonic()
        while time.monotonic() < begun + 4:
            use(str(model[0]))
            time.sleep(0.05)
        assert all(path.exists() for path in model), "it is used"
        while any(folder.iterdir()) and time.monotonic() < until + 30:
            time.sleep(0.05)
        assert not any(folder.iterdir()), "nor are empty folders left"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no such signal")
@pytest.mark.parametrize("ignored", [True, False])  # as by nohup
def test_a_terminal_that_is_closed_leaves_nothing(ignored, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else lambda *_: pytest.fail("it ends at once"))
    try:
        with nullcontext() if ignored else pytest.raises(SystemExit, match=r"^0$"), kept_while_serving() as folder:
            (folder / "me.png").write_bytes(b"me")
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.2)
            assert ignored, "it goes on"
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not list(tmp_path.iterdir())


def test_a_model_in_use_stays_where_the_time_of_a_change_is_that_of_its_making(tmp_path, monkeypatch):
    """As on Windows."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    model = tmp_path / "hash" / "mine.pkl"
    model.parent.mkdir()
    model.write_bytes(b"a model")
    made, later = model.stat(), time.time_ns() + 25 * 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    monkeypatch.setattr(time, "time", lambda: later / 1e9)
    use(str(model))
    assert model.stat().st_mtime_ns == made.st_mtime_ns, "what was converted of it is known by that"
    sweep(tmp_path)
    assert model.exists()
    later += 25 * 3600 * 10**9
    sweep(tmp_path)
    assert not model.exists()


def test_files_that_nobody_sent_are_not_touched(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path / "sent"))
    mine = tmp_path / "mine.pkl"
    mine.write_bytes(b"a model")
    before = mine.stat().st_ctime_ns
    for file in (mine, tmp_path / "sent" / "gone.pkl", "plush-256"):
        use(str(file))
    assert mine.stat().st_ctime_ns == before
