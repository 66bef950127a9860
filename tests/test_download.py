"""Downloads from a server that fails in every way: the file is right or absent, and no byte is fetched twice."""

import contextlib
import errno
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace

import filelock
import pytest

from draggan.registry import transfer
from draggan.registry.download import DownloadError, download, read_record, received, remove
from draggan.registry.transfer import Patience, is_loopback
from tests.file_server import GOOD, FileServer, Reply

QUICK = Patience(failures=3, backoff=0.001, longest_pause=2, connect_timeout=5, stall_timeout=10)
HASTY = replace(QUICK, stall_timeout=0.3)
DATA = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
RUNS = int(os.environ.get("DRAGGAN_KILL_RUNS", "5"))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server():
    with FileServer() as server:
        yield server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "model.pkl"


def run(urls, path: Path, **options) -> list[str]:
    """Downloads to the end. Returns the phases in their order."""
    urls = [urls] if isinstance(urls, str) else urls
    return [p.phase for p in download(urls, path, patience=options.pop("patience", QUICK), **options)]


def only_the_file(path: Path) -> None:
    """Nothing but the file and its record is left."""
    names = {p.name for p in path.parent.iterdir()} - {f"{path.name}.lock"}
    assert names == {path.name, f"{path.name}.json"}


def test_a_file_arrives_with_a_record(server, path):
    url, path = server.add("/f", DATA), path.parent / "deeper" / path.name
    steps = list(download([url], path))
    assert path.read_bytes() == DATA
    assert {s.phase for s in steps} == {"connecting", "downloading", "checking"}
    assert (steps[-1].received, steps[-1].total) == (len(DATA), len(DATA))
    record = read_record(path)
    assert record is not None
    assert (record.url, record.size, record.sha256) == (url, len(DATA), sha256(DATA))
    only_the_file(path)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS])
def test_a_folder_without_locks_can_be_downloaded_to(server, path, monkeypatch, code):
    def refused(*_, **__):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    list(download([server.add("/f", DATA)], path, patience=QUICK))
    assert path.read_bytes() == DATA


def test_without_the_lock_nothing_is_downloaded(server, path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EACCES, "not yours")

    monkeypatch.setattr(filelock.FileLock, "acquire", refused)
    with pytest.raises(DownloadError, match="not yours"):
        run(server.add("/f", DATA), path)
    assert server.requests == []


def test_a_file_whose_length_is_told_late_is_gone_on_from(server, path):
    endless = Reply(headers={"Content-Length": "", "Connection": "close"}, pace=0.01, cut=len(DATA))
    url = server.add("/f", DATA, endless, replace(endless, pace=0, cut=100_000))
    begun = download([url], path, patience=QUICK)
    next(step for step in begun if step.received > 50_000)
    begun.close()
    kept = received(path)
    list(download([url], path, patience=QUICK))
    assert path.read_bytes() == DATA
    assert [request.start for request in server.requests] == [0, kept, kept + 100_000]


def test_a_file_that_is_there_is_not_asked_for(server, path):
    url = server.add("/f", DATA)
    path.parent.mkdir()
    path.write_bytes(b"by hand")
    run(url, path)
    assert path.read_bytes() == b"by hand"
    assert server.requests == []


@pytest.mark.parametrize("reset", [False, True])
def test_drops_at_random_bytes_cost_nothing(server, path, reset):
    rng = random.Random(2)
    cuts = [rng.randrange(1, 60_000) for _ in range(5)]
    url = server.add("/f", DATA, *(Reply(cut=n, reset=reset, pace=0.002 if reset else 0) for n in cuts))
    run(url, path)
    assert path.read_bytes() == DATA
    assert server.requests[0].start == 0
    if not reset:  # a reset may take with it what was on its way
        assert server.sent("/f") == len(DATA)
        assert [r.start for r in server.requests] == [sum(cuts[:i]) for i in range(6)]


def test_an_interrupted_download_goes_on_in_the_next_call(server, path):
    url = server.add("/f", DATA, Reply(cut=100_000), Reply(status=404))
    with pytest.raises(DownloadError):
        run(url, path)
    assert not path.exists()
    assert received(path) == 100_000
    run(url, path)
    assert path.read_bytes() == DATA
    assert server.requests[-1].start == 100_000
    assert sum(r.sent for r in server.requests if r.start or r.sent == 100_000) == len(DATA)


def test_cancelling_keeps_what_has_come_and_frees_the_lock(server, path):
    url = server.add("/f", DATA, Reply(pace=0.02))
    steps = download([url], path, patience=QUICK)
    while next(steps).received == 0:
        pass
    steps.close()
    half = received(path)
    assert 0 < half < len(DATA)
    with filelock.FileLock(f"{path}.lock", timeout=0):
        pass
    run(url, path)
    assert path.read_bytes() == DATA
    assert server.requests[-1].start == half


def test_the_steps_may_be_asked_for_by_different_threads(server, path):
    steps = download([server.add("/f", DATA, Reply(pace=0.02))], path, patience=QUICK)
    for call in (lambda: next(steps), lambda: next(steps), steps.close):
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    with filelock.FileLock(f"{path}.lock", timeout=0):
        pass


def test_a_complete_part_needs_no_server(server, path):
    url = server.add("/f", DATA)
    for step in download([url], path, patience=QUICK):
        if step.phase == "checking":
            break
    assert not path.exists()
    run(url, path)
    assert path.read_bytes() == DATA
    assert len(server.requests) == 1


def test_a_complete_part_that_turns_out_wrong_is_fetched_once_more(server, path):
    """It may be of several pieces."""
    url = server.add("/f", DATA, Reply(content=OTHER))
    for step in download([url], path, patience=QUICK):
        if step.phase == "checking":
            break
    run(url, path, sha256=sha256(DATA))
    assert path.read_bytes() == DATA


def test_a_file_that_changes_between_attempts_is_not_spliced(server, path):
    url = server.add("/f", OTHER, Reply(content=DATA, cut=100_000))
    run(url, path)
    assert path.read_bytes() == OTHER


@pytest.mark.parametrize("etag", [None, ""])
def test_a_changed_file_from_a_server_that_ignores_if_range(server, path, etag):
    headers = {} if etag is None else {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    later = {} if etag is None else {"Last-Modified": "Tue, 02 Jan 2024 00:00:00 GMT"}
    url = server.add(
        "/f",
        OTHER,
        Reply(content=DATA, cut=100_000, etag=etag, headers=headers),
        then=Reply(if_range=False, etag=etag, headers=later),
    )
    run(url, path)
    assert path.read_bytes() == OTHER


def test_a_changed_file_from_a_server_that_does_not_repeat_its_etag(server, path):
    url = server.add("/f", OTHER, Reply(content=DATA, cut=100_000), then=Reply(headers={"ETag": ""}))
    run(url, path)
    assert path.read_bytes() == OTHER
    assert [r.start for r in server.requests] == [0, 0]


def test_a_changed_length_is_not_spliced(server, path):
    url = server.add("/f", OTHER[:-7], Reply(content=DATA, cut=100_000, etag='"same"'), then=Reply(etag='"same"'))
    run(url, path)
    assert path.read_bytes() == OTHER[:-7]
    assert [r.start for r in server.requests] == [0, 100_000, 0]


@pytest.mark.parametrize(
    "header", ["bytes 99999-299999/300000", "bytes 100000-299999", "items 100000-299999/300000", ""]
)
def test_another_range_than_asked_for_is_not_spliced(server, path, header):
    url = server.add("/f", DATA, Reply(cut=100_000), Reply(headers={"Content-Range": header}))
    run(url, path)
    assert path.read_bytes() == DATA
    assert [r.start for r in server.requests] == [0, 100_000, 0]


def test_a_range_that_ends_early_is_gone_on_from(server, path):
    url = server.add("/f", DATA, Reply(cut=100_000), Reply(headers={"Content-Length": "1000"}))
    run(url, path)
    assert path.read_bytes() == DATA
    assert [r.start for r in server.requests] == [0, 100_000, 101_000]


def test_a_range_that_is_too_long_starts_again(server, path):
    more = Reply(content=DATA + b"more", etag='"same"', headers={"Content-Range": "bytes 100000-300003/*"})
    url = server.add("/f", DATA, Reply(cut=100_000, etag='"same"'), more, then=Reply(etag='"same"'))
    run(url, path)
    assert path.read_bytes() == DATA


def test_a_body_of_unknown_length(server, path):
    url = server.add("/f", DATA, then=Reply(headers={"Content-Length": "", "Connection": "close"}, cut=len(DATA)))
    steps = list(download([url], path, patience=QUICK))
    assert path.read_bytes() == DATA
    assert steps[0].total is None


def test_a_file_spliced_behind_an_unchanged_etag_is_fetched_once_more(server, path):
    url = server.add("/f", OTHER, Reply(content=DATA, cut=100_000, etag='"same"'), then=Reply(etag='"same"'))
    run(url, path, sha256=sha256(OTHER))
    assert path.read_bytes() == OTHER


def test_wrong_content_in_pieces_is_given_up_after_the_second_time(server, path):
    url = server.add("/f", OTHER, then=Reply(cut=200_000))
    with pytest.raises(DownloadError, match="SHA-256"):
        run(url, path, sha256=sha256(DATA))
    assert [r.start for r in server.requests] == [0, 200_000] * 2


def test_nothing_is_resumed_from_a_server_without_validators(server, path):
    url = server.add("/f", OTHER, Reply(content=DATA, cut=100_000, etag=""), then=Reply(etag=""))
    run(url, path)
    assert path.read_bytes() == OTHER
    assert [r.start for r in server.requests] == [0, 0]


def test_a_server_that_ignores_range_starts_again(server, path):
    url = server.add("/f", DATA, Reply(cut=100_000), Reply(ranges=False))
    run(url, path)
    assert path.read_bytes() == DATA


def test_a_range_past_the_end_starts_again(server, path):
    url = server.add("/f", DATA[:50_000], Reply(content=DATA, cut=100_000, etag='"same"'), then=Reply(etag='"same"'))
    run(url, path)
    assert path.read_bytes() == DATA[:50_000]


def test_another_mirror_does_not_go_on_from_foreign_bytes(server, path):
    half = Reply(cut=100_000, etag='"same"')
    urls = [
        server.add("/a", DATA, half, then=Reply(status=404)),
        server.add("/b", OTHER, then=Reply(etag='"same"')),
    ]
    run(urls, path)
    assert path.read_bytes() == OTHER
    record = read_record(path)
    assert record is not None
    assert record.url == urls[1]


@pytest.mark.parametrize("length", [len(DATA) + 1000, len(DATA) * 10])
def test_a_length_announced_too_high_is_given_up(server, path, length):
    url = server.add("/f", DATA, then=Reply(headers={"Content-Length": str(length)}))
    with pytest.raises(DownloadError):
        run(url, path)
    assert not path.exists()
    assert len(server.requests) < 20


def test_a_length_announced_too_low_is_seen_by_the_hash_or_the_check(server, path):
    short = Reply(headers={"Content-Length": str(len(DATA) - 1000)})
    url = server.add("/f", DATA, then=short)
    with pytest.raises(DownloadError, match="SHA-256"):
        run(url, path, sha256=sha256(DATA))
    with pytest.raises(DownloadError, match="cut short"):
        run(url, path, check=whole)
    assert not path.exists()


def whole(part: Path) -> None:
    if part.stat().st_size != len(DATA):
        raise ValueError("cut short")


def test_wrong_content_is_refused_and_the_next_mirror_asked(server, path):
    urls = [server.add("/a", OTHER), server.add("/b", DATA)]
    run(urls, path, sha256=sha256(DATA))
    assert path.read_bytes() == DATA
    assert server.sent("/a") == len(OTHER)  # once: there is no joint that could be at fault
    only_the_file(path)


def test_the_hash_that_the_host_tells_is_held_to_also_on_a_redirect(server, path):
    true, false = ({"X-Linked-ETag": f'"{sha256(d)}"'} for d in (DATA, OTHER))
    target = server.add("/blob", DATA)
    good = server.add("/good", b"", then=Reply(status=302, headers={"Location": target, **true}))
    bad = server.add("/bad", b"", then=Reply(status=302, headers={"Location": target, **false}))
    with pytest.raises(DownloadError, match="the server says"):
        run(bad, path)
    run([bad, good], path)
    record = read_record(path)
    assert path.read_bytes() == DATA
    assert record is not None
    assert record.url == good


@pytest.mark.parametrize("told", [sha256(DATA).upper(), hashlib.sha1(OTHER).hexdigest()])
def test_a_hash_that_the_host_tells_may_be_in_capitals_or_of_another_kind(server, path, told):
    run(server.add("/f", DATA, then=Reply(headers={"X-Linked-ETag": f'"{told}"'})), path, sha256=sha256(DATA))
    assert path.read_bytes() == DATA


def test_a_host_that_tells_another_hash_than_the_table_is_not_downloaded_from(server, path):
    url = server.add("/f", DATA, then=Reply(headers={"X-Linked-ETag": f'"{sha256(DATA)}"'}))
    with pytest.raises(DownloadError, match="expected"):
        run(url, path, sha256=sha256(OTHER))
    assert received(path) == 0


def test_the_first_download_is_held_to_later(server, path):
    url = server.add("/f", DATA, GOOD, GOOD, then=Reply(content=OTHER))
    for _ in range(2):
        run(url, path)
        path.unlink()
    with pytest.raises(DownloadError, match=r"but was .* delete .*model\.pkl\.json"):
        run(url, path)
    remove(path)
    run(url, path)
    assert path.read_bytes() == OTHER


def test_a_file_that_does_not_read_is_refused(server, path):
    def check(part: Path) -> None:
        raise ValueError("not a generator")

    with pytest.raises(DownloadError, match="not a generator"):
        run(server.add("/f", DATA), path, check=check)
    assert not path.exists()
    assert received(path) == 0


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "Text/HTML", "application/xhtml+xml"])
def test_a_web_page_is_not_a_file(server, path, kind):
    url = server.add("/f", b"<html>sign in", then=Reply(headers={"Content-Type": kind}))
    with pytest.raises(DownloadError, match="web page"):
        run(url, path)
    assert len(server.requests) == 1


def test_encoded_bytes_are_refused(server, path):
    url = server.add("/f", DATA, then=Reply(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(DownloadError, match="gzip"):
        run(url, path)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("status", "requests"), [(404, 1), (403, 1), (410, 1), (206, 1), (416, 1), (500, 3), (503, 3), (429, 3)]
)
def test_only_what_may_pass_is_asked_again(server, path, status, requests):
    url = server.add("/f", b"", then=Reply(status=status))
    with pytest.raises(DownloadError, match=f"status {status}"):
        run(url, path)
    assert len(server.requests) == requests


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 425, 408])
def test_trouble_that_passes(server, path, status):
    run(server.add("/f", DATA, Reply(status=status, content=b"sorry")), path)
    assert path.read_bytes() == DATA


def test_patience_that_would_never_begin_or_never_wait_is_refused():
    Patience(failures=1, backoff=1e-9, longest_pause=1e-9, connect_timeout=1e-9, stall_timeout=1e-9)
    for wrong in ("failures", "backoff", "longest_pause", "connect_timeout", "stall_timeout"):
        with pytest.raises(ValueError, match=f"{wrong}=0.*at least 1, times above 0"):
            replace(QUICK, **{wrong: 0})


def test_retry_after_is_heeded(server, path):
    began = time.monotonic()
    phases = run(server.add("/f", DATA, Reply(status=429, headers={"Retry-After": "1"})), path)
    assert 1 <= time.monotonic() - began < 3
    assert phases.count("retrying") >= 5  # chances to cancel


@pytest.mark.parametrize(("end", "expected"), [(0, [1, 2, 4, 7]), (1, [3, 6, 7, 7])])
def test_pauses_are_doubled_up_to_the_longest_and_spread_by_a_half(server, path, monkeypatch, end, expected):
    pauses = []
    monkeypatch.setattr(transfer, "wait", lambda seconds, _: pauses.append(seconds) or iter(()))
    monkeypatch.setattr(random, "uniform", lambda *ends: ends[end])
    url = server.add("/f", b"", then=Reply(status=503))
    with pytest.raises(DownloadError, match="status 503"):
        run(url, path, patience=Patience(failures=5, backoff=1, longest_pause=7))
    assert pauses == expected


def test_how_far_it_is_is_told_also_where_it_tries_again(server, path):
    steps = list(download([server.add("/f", DATA, Reply(cut=100_000))], path, patience=QUICK))
    (again,) = (i for i, step in enumerate(steps) if step.phase == "connecting" and step.received)
    for step in (steps[again - 1], steps[again]):
        assert (step.received, step.total) == (100_000, len(DATA))
    assert steps[again - 1].phase == "retrying"


@pytest.mark.parametrize("value", ["3600", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_a_server_that_asks_for_an_hour_is_given_up(server, path, value):
    urls = [
        server.add("/a", b"", then=Reply(status=503, headers={"Retry-After": value})),
        server.add("/b", DATA),
    ]
    run(urls, path)
    assert path.read_bytes() == DATA
    assert [r.path for r in server.requests] == ["/a", "/b"]


def test_a_stall_is_cut_and_resumed(server, path):
    url = server.add("/f", DATA, Reply(cut=100_000, stall=True))
    run(url, path, patience=HASTY)
    assert path.read_bytes() == DATA
    assert [r.start for r in server.requests] == [0, 100_000]


def test_redirects(server, path):
    last = server.add("/c", DATA, Reply(cut=100_000))
    middle = server.add("/b", b"", then=Reply(status=307, headers={"Location": last}))
    run(server.add("/a", b"", then=Reply(status=302, headers={"Location": middle})), path)
    assert path.read_bytes() == DATA
    assert server.sent("/c") == len(DATA)


def test_redirects_in_a_circle(server, path):
    url = server.add("/a", b"", then=Reply(status=302, headers={"Location": "/a"}))
    with pytest.raises(DownloadError, match="redirects"):
        run(url, path)


def test_the_error_names_file_addresses_reasons_and_folder(server, path):
    urls = [server.add("/a", b"", then=Reply(status=404)), "http://127.0.0.1:9/closed", "nonsense://x"]
    with pytest.raises(DownloadError) as caught:
        run(urls, path)
    message = str(caught.value)
    for part in ("model.pkl", *urls, "status 404", "refused", str(path.parent)):
        assert part in message
    assert [url for url, _ in caught.value.tried] == urls


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with the openssl command")
def test_a_certificate_that_nobody_signed_is_refused_in_words(path, tmp_path):
    pem = tmp_path / "both.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pem, "-out", pem]
    subprocess.run([*make, *name], check=True, capture_output=True)
    with FileServer(pem) as server, pytest.raises(DownloadError) as caught:
        run(server.add("/f", DATA), path)
    ((_, reason),) = caught.value.tried
    assert re.fullmatch("no safe connection: certificate verify failed: self.signed certificate", reason)
    assert received(path) == 0


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(cut=0, reset=True), "Connection broken: Connection reset by peer"),
        (Reply(stall=True, cut=0), "Read timed out."),
    ],
)
def test_reasons_are_words(server, path, reply, reason):
    with pytest.raises(DownloadError) as caught:
        run(server.add("/f", DATA, then=reply), path, patience=HASTY)
    assert [said for _, said in caught.value.tried] == [reason]


def test_a_full_disk_is_noticed_before(server, path, monkeypatch):
    free = transfer.HEADROOM + len(DATA) - 1
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(DownloadError, match=r": 0 MB are to come and 268 MB to stay free, but .* has only 269 MB"):
        run(server.add("/f", DATA), path)
    assert received(path) == 0


def test_what_has_come_is_kept_where_the_disk_takes_no_more(server, path):
    """From another address it would be fetched anew, on the same disk."""
    resource = pytest.importorskip("resource")
    urls, usual = [server.add("/a", DATA), server.add("/b", DATA)], resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, usual[1]))
    try:
        with pytest.raises(DownloadError, match="cannot write: File too large"):
            run(urls, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert received(path) == 200_000
    run(urls, path)
    assert path.read_bytes() == DATA
    assert [(request.path, request.start) for request in server.requests] == [("/a", 0), ("/a", 200_000)]


def test_what_has_come_is_kept_where_the_rest_has_no_room(server, path, monkeypatch):
    urls = [server.add("/a", DATA, Reply(cut=200_000), Reply(status=404)), server.add("/b", DATA)]
    with pytest.raises(DownloadError):
        run(urls[0], path)
    free = transfer.HEADROOM + 50_000
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    with pytest.raises(DownloadError, match="to stay free"):
        run(urls, path)
    assert received(path) == 200_000


def test_a_file_of_unknown_length_leaves_room_too(server, path, monkeypatch):
    def usage(folder):
        return SimpleNamespace(free=transfer.HEADROOM + 150_000 - received(path))

    monkeypatch.setattr(transfer.shutil, "disk_usage", usage)
    monkeypatch.setattr(transfer, "STRETCH", 50_000)
    url = server.add("/f", DATA, then=Reply(etag="", headers={"Content-Length": ""}, pace=0.01))
    with pytest.raises(DownloadError, match="to stay free"):
        run(url, path)
    assert received(path) == 0, "what can never be gone on from is not kept"
    assert 50_000 < server.sent("/f") < len(DATA)


@pytest.mark.parametrize("etag", [None, ""])
def test_of_an_address_given_up_only_what_can_be_gone_on_from_is_kept(server, path, etag):
    with pytest.raises(DownloadError):
        run(server.add("/f", DATA, Reply(cut=100_000, etag=etag), then=Reply(status=404)), path)
    assert received(path) == (100_000 if etag is None else 0)


def test_a_note_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no room")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="no room"):
        transfer.write_json(tmp_path / "note.json", QUICK)
    assert not list(tmp_path.iterdir())


def test_stop_is_heard_while_nothing_comes(server, path):
    steps = download([server.add("/f", DATA, Reply(cut=100_000, stall=True))], path, patience=QUICK)
    while next(steps).received < 100_000:
        pass
    began = time.monotonic()
    for _ in range(3):
        assert next(steps).phase == "downloading"
    steps.close()
    assert time.monotonic() - began < 5, "the server is silent for 10 seconds"
    assert received(path) == 100_000


def test_a_part_that_cannot_be_deleted_keeps_no_address_from_being_tried(server, path, monkeypatch):
    urls = [server.add("/a", b"", Reply(status=404)), server.add("/b", DATA)]
    denied = lambda part: (_ for _ in ()).throw(PermissionError(13, "Permission denied", str(part)))  # noqa: E731
    monkeypatch.setattr(transfer, "keep_resumable", denied)
    run(urls, path)
    assert path.read_bytes() == DATA


def test_passwords_in_addresses_are_not_told(server, path):
    url = server.add("/f", DATA, Reply(status=404))
    secret = url.replace("://", "://ann:s3cret@")
    with pytest.raises(DownloadError, match="status 404") as caught:
        run([secret, "http://ann:s3cret@[::1/f"], path)
    assert "s3cret" not in str(caught.value) + str(caught.value.tried)
    steps = download([secret], path, patience=QUICK)
    while next(steps).received == 0:
        pass
    steps.close()
    run(secret, path)
    assert server.requests[-1].start > 0, "it is gone on from"
    assert read_record(path).url == url
    assert not any(b"s3cret" in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=302, headers={"Location": "http://b\xfccher..example/\xff"}),
        Reply(status=302, headers={"Location": "http://[::1/x"}),
        Reply(headers={"Content-Length": "\xb2"}, cut=100),
        Reply(status=429, headers={"Retry-After": "\xb2"}),
    ],
)
def test_an_answer_that_makes_no_sense_leaves_the_other_addresses(server, path, reply):
    run([server.add("/bad", OTHER, then=reply), server.add("/good", DATA)], path, sha256=sha256(DATA))
    assert path.read_bytes() == DATA


def test_a_folder_that_cannot_be_made(server, tmp_path):
    folder = tmp_path / "folder"
    folder.write_text("a file")
    with pytest.raises(DownloadError) as caught:
        run(server.add("/f", DATA), folder / "model.pkl")
    assert caught.value.tried == ((str(folder), os.strerror(errno.EEXIST)),)
    assert server.requests == []


def test_what_cannot_be_written_is_said_and_not_asked_of_another_address(server, path):
    path.with_name("model.pkl.part").mkdir(parents=True)
    urls = [server.add("/a", DATA), server.add("/b", DATA)]
    with pytest.raises(DownloadError) as caught:
        run(urls, path)
    ((url, said),) = caught.value.tried
    assert url == urls[0]
    assert re.fullmatch(r"cannot write: [\w ]+", said)


@pytest.mark.parametrize("gone", ["model.pkl.part", "model.pkl.part.json"])
def test_what_somebody_deletes_meanwhile_is_said(server, path, gone):
    coming = download([server.add("/f", DATA)], path, patience=QUICK)
    next(step for step in coming if step.phase == "checking")
    path.with_name(gone).unlink()
    with pytest.raises(DownloadError, match=f"cannot write: {os.strerror(errno.ENOENT)}"):
        list(coming)
    assert received(path) == 0
    run(server.add("/f", DATA), path)
    only_the_file(path)


@pytest.mark.skipif(os.name != "posix", reason="this system has no such modes")
def test_another_account_may_download_to_the_same_folder(server, path):
    list(download([server.add("/f", DATA)], path, patience=QUICK))
    assert Path(f"{path}.lock").stat().st_mode & 0o666 == 0o666


@pytest.mark.parametrize("note", ['{"url": "', '{"of": "another version"}'])
def test_a_damaged_note_starts_again(server, path, note):
    url = server.add("/f", DATA, Reply(cut=100_000), Reply(status=404))
    with pytest.raises(DownloadError):
        run(url, path)
    path.with_name("model.pkl.part.json").write_text(note)
    run(url, path)
    assert path.read_bytes() == DATA


def test_two_at_once_download_once(server, path):
    url = server.add("/f", DATA, Reply(pace=0.01))
    phases: list[list[str]] = [[], []]

    def work(i: int) -> None:
        phases[i] = run(url, path)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == DATA
    assert server.sent("/f") == len(DATA)
    assert sum("waiting" in p for p in phases) == 1


def test_this_machine_is_never_asked_through_a_proxy(server, path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    target = server.add("/f", DATA)
    local = server.add("/r", b"", then=Reply(status=302, headers={"Location": target})).replace(
        "127.0.0.1", "localhost"
    )
    run(local, path)
    assert path.read_bytes() == DATA


def test_others_are_asked_through_the_proxy(server, path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.add("http://models.invalid/f", DATA)  # what a proxy is asked for
    server.files["http://models.invalid/f"] = server.files.pop("http://models.invalid/f")
    run("http://models.invalid/f", path)
    assert path.read_bytes() == DATA


def test_loopback():
    assert all(is_loopback(h) for h in ("localhost", "127.0.0.1", "127.8.9.1", "::1", "a.localhost"))
    assert not any(is_loopback(h) for h in ("example.org", "127.evil.org", "localhost.evil.org", "10.0.0.1", ""))


PROGRAM = """
import json, sys
from pathlib import Path
from draggan.registry.download import download
from draggan.registry.transfer import Patience
url, path, sha256, stall = json.loads(sys.argv[1])
for step in download([url], Path(path), sha256=sha256, patience=Patience(3, 0.01, stall_timeout=stall)):
    pass
assert "torch" not in sys.modules
"""


def start(url: str, path: Path, digest: str | None, stall: float) -> subprocess.Popen:
    arguments = [sys.executable, "-c", PROGRAM, json.dumps([url, str(path), digest, stall])]
    return subprocess.Popen(arguments, cwd=Path(__file__).parents[1], stderr=subprocess.DEVNULL)


def some_fault(rng: random.Random, size: int) -> Reply:
    """One of the ways to fail, with a random place."""
    cut = rng.randrange(size)
    return rng.choice(
        [
            Reply(cut=cut, pace=0.002),
            Reply(cut=cut, reset=True, pace=0.002),
            Reply(cut=cut, stall=True),
            Reply(ranges=False, cut=cut, pace=0.002),
            Reply(if_range=False, etag='"x"', cut=cut),
            Reply(content=rng.randbytes(size), cut=cut),
            Reply(content=rng.randbytes(size)),
            Reply(content=rng.randbytes(rng.randrange(1, size))),
            Reply(headers={"Content-Length": str(size + rng.randrange(1, 1000))}),
            Reply(headers={"Content-Length": str(rng.randrange(1, size))}),
            Reply(status=500),
            Reply(status=404),
            Reply(status=429, headers={"Retry-After": "0"}),
            Reply(status=302, headers={"Location": "/elsewhere"}),
            Reply(headers={"Content-Type": "text/html"}),
        ]
    )


@pytest.mark.parametrize("seed", range(RUNS))
def test_kills_among_faults_leave_the_right_file_or_none(server, path, seed):
    rng = random.Random(seed)
    data = rng.randbytes(rng.randrange(200_000, 600_000))
    url = server.add(
        "/f", data, *(some_fault(rng, len(data)) for _ in range(rng.randrange(1, 8))), then=Reply(pace=0.003)
    )
    server.add("/elsewhere", data, then=Reply(pace=0.003))
    for _ in range(3):
        process = start(url, path, sha256(data), 0.3)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.15, 0.7))
        process.kill()  # SIGKILL
        process.wait()
        assert not path.exists() or path.read_bytes() == data
    for _ in range(10):  # each failure uses up one of the faults
        if path.exists():
            break
        with contextlib.suppress(DownloadError):
            run(url, path, sha256=sha256(data), patience=HASTY)
    assert path.read_bytes() == data
    only_the_file(path)


@pytest.mark.parametrize("seed", range(RUNS))
def test_bytes_before_a_kill_are_not_fetched_again(server, path, seed):
    rng = random.Random(seed)
    data = rng.randbytes(400_000)
    cuts = [rng.randrange(1, 100_000) for _ in range(3)]
    url = server.add("/f", data, *(Reply(cut=n, stall=True) for n in cuts))
    for i in range(3):
        process = start(url, path, None, 60)
        while received(path) < sum(cuts[: i + 1]):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()  # SIGKILL
        process.wait()
        assert not path.exists()
    run(url, path)
    assert path.read_bytes() == data
    assert [r.start for r in server.requests] == [sum(cuts[:i]) for i in range(4)]
    assert server.sent("/f") == len(data)


def test_a_file_of_unknown_length_that_was_left_is_asked_for_again(server, path):
    """What has come of it is not all of it."""
    endless = Reply(headers={"Content-Length": "", "Connection": "close"}, pace=0.01, cut=len(DATA))
    url = server.add("/f", DATA, endless)
    for _ in takewhile(lambda step: step.received < 50_000, download([url], path, patience=QUICK)):
        pass
    begun = received(path)
    assert 0 < begun < len(DATA)
    run(url, path)
    assert path.read_bytes() == DATA


def test_room_is_needed_for_what_is_still_to_come(server, path, monkeypatch):
    """A large model that is nearly here fits on a disk that is nearly full."""
    free = transfer.HEADROOM + len(DATA)
    usage = lambda folder: SimpleNamespace(free=free - received(path))  # noqa: E731
    monkeypatch.setattr(transfer.shutil, "disk_usage", usage)
    run(server.add("/f", DATA, Reply(cut=200_000)), path)
    assert path.read_bytes() == DATA


def test_a_weak_etag_is_nothing_to_go_on_by(server, path):
    """RFC 9110, 13.1.5; a server that keeps to it would send all of the file each time."""
    date = {"Last-Modified": "Fri, 01 Jan 2021 00:00:00 GMT"}
    begun = Reply(cut=100_000, etag='W/"a"', headers=date)
    run(server.add("/f", DATA, begun, then=Reply(etag=date["Last-Modified"], headers=date | {"ETag": 'W/"a"'})), path)
    assert path.read_bytes() == DATA
    assert server.requests[-1].headers["If-Range"] == date["Last-Modified"]
    assert server.requests[-1].start == 100_000


def test_an_address_is_tried_once(server, path):
    """The mirror may be the place where a file comes from."""
    url = server.add("/f", b"", then=Reply(status=404))
    with pytest.raises(DownloadError) as error:
        run([url, url], path)
    assert len(server.requests) == len(error.value.tried) == 1
