"""Several users: who is let in, how they share the network, and what becomes of those who leave."""

import asyncio
import contextlib
import errno
import os
import re
import shutil
import socket
import sys
import time
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from benchmarks import first_frame
from benchmarks.users import Log, Reading, growth, report, simulate, waits
from benchmarks.visitor import Refused, Visitor, client, wait_for
from draggan.web import app, server, visits
from draggan.web.limits import REQUEST_BYTES, VALUES, BodyLimit, Doors, accounts, size
from draggan.web.presence import Drags, Listeners, Places
from draggan.web.server import ServerConfig, free_port
from tests.browser import NOBODY
from tests.networks import tiny_generator
from tests.shelf import Shelf, serve


def test_tabs_wait_in_the_order_in_which_they_came():
    places = Places(2)
    for tab in "abcd":
        places.enter(tab)
    assert [places.before(tab) for tab in "abcde"] == [0, 0, 1, 2, None]
    places.enter("a")
    places.leave("b")
    places.leave("nobody")
    assert [places.before(tab) for tab in "acd"] == [0, 0, 1]
    assert [places.has(tab) for tab in "acde"] == [True, True, False, False]
    places.enter("b")
    assert places.before("b") == 2


def test_a_tab_that_waits_hears_what_is_new_and_one_that_is_not_here_is_not_waited_for(monkeypatch):
    """Each answer takes time of the event loop: with one at every look, a few who only arrive would have it all."""
    for name in ("WAIT_SECONDS", "ENTER_SECONDS", "LATE_SECONDS"):
        monkeypatch.setattr(visits, name, 0.01)
    places = Places(1)
    here = visits.Visits(places, SimpleNamespace())

    async def hear(tab: str, *changes) -> list:
        arriving = here.arrive(SimpleNamespace(session_hash=tab))
        heard = [await anext(arriving)]

        async def rest() -> None:
            heard.extend([answer async for answer in arriving])

        task = asyncio.create_task(rest())
        for change in changes:
            await asyncio.sleep(0.1)
            change()
        await asyncio.wait_for(task, 5)
        return [answer["marks"]["status"]["values"]["before"] for answer in heard if "marks" in answer]

    async def run() -> None:
        assert await hear("never came") == []
        for tab in "abc":
            places.enter(tab)
        assert await hear("c", lambda: places.leave("a"), lambda: places.leave("b")) == [1, 0]
        places.enter("d")
        assert await hear("d", lambda: places.leave("d")) == [0]

    asyncio.run(run())


def test_a_tab_that_comes_to_a_free_place_has_it_at_once(monkeypatch):
    """Whoever waits for one is looked after less often."""
    places, slept = Places(1), []
    here = visits.Visits(places, SimpleNamespace())

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 1:
            for tab in "ab":
                places.enter(tab)
        else:
            places.leave("a")

    monkeypatch.setattr(visits, "asyncio", SimpleNamespace(sleep=sleep))

    async def run() -> None:
        assert [answer async for answer in here.arrive(SimpleNamespace(session_hash="b"))]

    asyncio.run(run())
    assert slept == [visits.ENTER_SECONDS, visits.WAIT_SECONDS]


def test_only_a_tab_with_a_place_gets_a_picture():
    page, here = serve(tiny_generator(64), 17952, max_users=1)

    async def run() -> None:
        async with client() as http, Visitor(http, here) as tab:
            await tab.until("ready")
            async with Visitor(http, here) as waits:
                start = next(h for h in waits._handlers.values() if h["trigger_only_on_success"])
                with pytest.raises(Refused, match="this tab has no place"):
                    await waits._finish(start, await waits._join(start))

    try:
        asyncio.run(run())
    finally:
        page.close()


def test_drags_are_counted_as_long_as_they_last():
    drags = Drags()
    with drags.one():
        with drags.one():
            assert drags.others == 1
        assert drags.others == 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["secret"], "--auth number 1: write user:password"),
        (["a:b", ":secret"], "--auth number 2: write user:password"),
        (["secret:"], "--auth number 1: write user:password"),
        (["a:secret", "a:secret"], "--auth number 2: there is a user of that name already"),
    ],
)
def test_bad_accounts_are_told_without_what_was_given(values, message):
    with pytest.raises(ValueError, match=re.escape(message)) as told:
        accounts(values)
    assert "secret" not in str(told.value)


def test_accounts_come_from_files_too(tmp_path):
    path = tmp_path / "users"
    path.write_text("# comment\n\n ann :a:b \nbob:#1\n")
    assert accounts(["eve:e", f"@{path}"]) == (("eve", "e"), ("ann", "a:b "), ("bob", "#1"))
    path.write_text("ann:a\nsecret\n")
    with pytest.raises(ValueError, match="line 2: write user:password") as told:
        accounts([f"@{path}"])
    assert "secret" not in str(told.value)
    path.write_text("# nobody\n")
    with pytest.raises(ValueError, match="has no line"):
        accounts([f"@{path}"])
    path.write_text("ann:a\n", "utf-8-sig")  # as editors on Windows write it
    assert accounts([f"@{path}"]) == (("ann", "a"),)
    with pytest.raises(FileNotFoundError):
        accounts(["@no-such-file"])
    assert "secret" not in repr(ServerConfig(auth=(("ann", "secret"),)))


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("4gb", 4 << 30), ("500 MB", 500 << 20), ("1.5kb", 1536), ("2T", 2 << 40), ("12", 12), ("7b", 7)],
)
def test_sizes(text, bytes_):
    assert size(text) == bytes_


@pytest.mark.parametrize("text", ["", "big", "-1mb", "0", "4 gigs", "1e9"])
def test_bad_sizes_are_told(text):
    with pytest.raises(ValueError, match="is no size: write 500mb or 4gb"):
        size(text)


UPLOAD, OTHER = "/gradio_api/upload", "/gradio_api/queue/join"


async def whole(scope, receive, send):
    """An app that reads all of a body."""
    while (await receive())["more_body"]:
        pass
    await PlainTextResponse("")(scope, receive, send)


async def full(scope, receive, send):
    """An app whose disk is full."""
    raise OSError(errno.ENOSPC, "No space left on device")


async def full_to_its_user(scope, receive, send):
    """An app that may have no more of its disk."""
    raise OSError(errno.EDQUOT, "Disk quota exceeded")


def answer(app, folder, path, content=b"", **headers) -> httpx.Response:
    """What an app whose uploads may be twice as large as other requests answers."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(BodyLimit(app, uploads=2 * REQUEST_BYTES, folder=folder))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.post(path, content=content, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize("root", ["", "/edit"])
def test_only_uploads_may_be_large(root, tmp_path):
    large = bytes(REQUEST_BYTES + 1)
    assert answer(whole, tmp_path, root + UPLOAD, large).status_code == 200
    for path in ("run/upload", "run/upload/", "call/upload", "api/upload", "queue/join"):
        assert answer(whole, tmp_path, f"{root}/gradio_api/{path}", large).status_code == 413, path


@pytest.mark.parametrize(("path", "most"), [(UPLOAD, 2 * REQUEST_BYTES), (OTHER, REQUEST_BYTES)])
def test_what_says_that_it_is_too_large_is_refused_before_it_comes(path, most, tmp_path):
    for length, status in ((most, 200), (most + 1, 413)):
        assert answer(whole, tmp_path, path, **{"Content-Length": str(length)}).status_code == status


def test_a_body_that_does_not_say_how_long_it_is_is_counted(tmp_path):
    """Sent in chunks, without a Content-Length."""

    async def pieces(size):
        for _ in range(size >> 20):
            yield bytes(1 << 20)

    larger = REQUEST_BYTES + (1 << 20)
    with pytest.raises(HTTPException, match="larger than") as refused:  # which gradio's app answers
        answer(whole, tmp_path, OTHER, pieces(larger))
    assert refused.value.status_code == 413
    assert answer(whole, tmp_path, OTHER, pieces(REQUEST_BYTES)).status_code == 200
    assert answer(whole, tmp_path, UPLOAD, pieces(larger)).status_code == 200
    with pytest.raises(HTTPException, match="larger than"):
        answer(whole, tmp_path, UPLOAD, pieces(2 * larger))


@pytest.mark.parametrize("value", [b"0", b"[]", b"{}"])
def test_a_body_of_many_values_is_refused(value, tmp_path):
    """One of 16 MB stopped everybody for seconds, and needed no login."""
    few = b'["' + bytes(REQUEST_BYTES // 2) + b'"' + (VALUES // 3) * (b"," + value) + b"]"
    assert answer(whole, tmp_path, OTHER, few).status_code == 200
    many = b"[" + VALUES * (value + b",") + b"0]"
    assert answer(whole, tmp_path, UPLOAD, many).status_code == 200
    with pytest.raises(HTTPException, match="more than 10000 values") as refused:
        answer(whole, tmp_path, OTHER, many)
    assert refused.value.status_code == 413


@pytest.mark.parametrize("length", ["-1", "many", ""])
def test_a_length_that_is_none_breaks_nothing(length, tmp_path):
    assert answer(whole, tmp_path, OTHER, **{"Content-Length": length}).status_code == 200


def through_the_doors(path: str, method: str = "GET", **headers: str) -> int:
    """The status of the answer to a request that an app would answer."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(Doors(PlainTextResponse("the page")))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            return await http.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return asyncio.run(send()).status_code


@pytest.mark.parametrize("root", ["", "/edit"])
def test_what_the_page_never_asks_for_is_not_there(root):
    """Some of it left files in /tmp, fetched any address, or wrote lines of anybody's into the log."""
    for path in (
        *("component_server", "process_recording", "custom_component/x%0ay/client/a/b", "deep_link?session_hash=x"),
        *("file=http://example.com/", "file/https%3A//example.com", "proxy=http://example.com", "stream/x"),
        *("heartbeat/x", "dev/reload", "run-history/records", "vibe-code/", "undo-vibe-edit"),
    ):
        assert through_the_doors(f"{root}/gradio_api/{path}") == 404, path
    for path in (
        "queue/join",
        "queue/data?session_hash=x",
        "upload",
        "upload_progress",
        "cancel",
        "file=/tmp/x/http:/a",
    ):
        assert through_the_doors(f"{root}/gradio_api/{path}") == 200, path


@pytest.mark.parametrize(
    ("site", "mode", "method", "status"),
    [
        ("cross-site", "no-cors", "POST", 403),
        ("cross-site", "cors", "GET", 403),
        ("cross-site", "navigate", "POST", 403),  # a form
        ("cross-site", "navigate", "GET", 200),  # a link
        ("same-origin", "cors", "POST", 200),
        ("none", "navigate", "GET", 200),  # typed by a hand
    ],
)
def test_the_page_of_another_site_asks_in_vain(site, mode, method, status):
    assert through_the_doors(UPLOAD, method, Sec_Fetch_Site=site, Sec_Fetch_Mode=mode) == status


@pytest.mark.parametrize(("app", "free"), [(full, 0), (full, 1 << 30), (full_to_its_user, 1 << 30)])
def test_a_full_disk_is_told(app, free, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    told = answer(app, tmp_path, UPLOAD, b"a picture")
    assert told.status_code == 507
    assert "disk of this server is full: send a smaller file" in told.text


def test_a_full_disk_refuses_no_request_without_a_file(tmp_path, monkeypatch):
    """Who drags needs no disk; and another error is none of an upload."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=0))
    assert answer(whole, tmp_path, OTHER, b"a click").status_code == 200
    assert answer(whole, tmp_path, UPLOAD, b"a picture").status_code == 507
    with pytest.raises(OSError, match="No space left"):
        answer(full, tmp_path, OTHER, b"a click")

    async def broken(scope, receive, send):
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        answer(broken, tmp_path, UPLOAD)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("root_path", "edit", "root path 'edit': write /edit"),
        ("port", 0, "port 0: it must be within 1 .. 65535"),
        ("port", 70000, "port 70000: it must be within"),
        ("max_users", 0, "max_users is 0"),
        ("max_upload", 0, "max_upload is 0"),
    ],
)
def test_bad_limits_are_told(field, value, message):
    with pytest.raises(ValueError, match=message):
        ServerConfig(**{field: value})


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_a_host_that_is_none_of_this_machine_is_told(host):
    with pytest.raises(OSError, match=f"cannot listen on {host}, port 17950 .*: name others with --host"):
        free_port(host, 17950)


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def test_the_next_port_is_taken_where_one_is_not_free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port("127.0.0.1", port) < port + 100
        if has_ipv6():
            assert port < free_port("::1", port) < port + 100


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
def test_a_page_on_ipv6(host):
    page = app.build(Shelf(tiny_generator(64)), "cpu", "plush-256", max_users=1)
    address = server.serve(page, ServerConfig(host=host, port=17951))
    try:
        with httpx.Client(trust_env=False) as http:
            assert http.get(address.replace("[::]", "[::1]")).is_success
        assert address == f"http://[{host.strip('[]')}]:17951/"
    finally:
        page.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere this machine is 127.0.0.1 alone")
def test_a_page_on_another_address_is_not_looked_for_through_a_proxy(monkeypatch):
    for name, value in (("http_proxy", NOBODY), ("no_proxy", ""), ("NO_PROXY", "")):
        monkeypatch.setenv(name, value)
    page = app.build(Shelf(tiny_generator(64)), "cpu", "plush-256", max_users=1)
    try:
        assert server.serve(page, ServerConfig(host="127.0.0.2", port=17952)) == "http://127.0.0.2:17952/"
    finally:
        page.close()


async def dragging(tab: Visitor) -> None:
    """Sets a pair that is far apart."""
    await tab.until("ready")
    await tab.edit("pair", at=[111, 170], to=[220, 100])


def test_who_drags_beside_others_is_told_and_a_closed_tab_stops_its_drag(address):
    async def run() -> None:
        async with client() as http, Visitor(http, address) as tab:
            await dragging(tab)
            async with Visitor(http, address) as other:
                await dragging(other)
                drag = tab.drag()
                other_drag = other.drag()
                await anext(other_drag)
                await anext(drag)
                async for _ in drag:
                    if "1 other drag too: each waits its turn." in tab.status:
                        break
            left = tab.steps
            async for _ in drag:
                if "too" not in tab.status:
                    break
            assert tab.steps - left <= 20, "the drag of the tab that was closed went on"
            await tab.stop()

    asyncio.run(run())


def test_what_a_tab_had_is_put_away_when_it_has_gone(monkeypatch):
    monkeypatch.setattr(visits, "GONE_SECONDS", 1)
    monkeypatch.setattr(visits, "STAY_SECONDS", 0.2)
    monkeypatch.setattr(visits, "UNHEARD", 10**6)  # whose stream was open is missed at the next sign of life
    page, here = serve(tiny_generator(64), 17945, max_users=5)

    def kept():
        states, queue = page.app.state_holder, page._queue
        answers, asked = queue.pending_messages_per_session, queue.pending_event_ids_session
        return [set(each) for each in (states.session_data, states.time_last_used, answers, asked)]

    async def run() -> None:
        async with client() as http, Visitor(http, here) as tab:
            await tab.until("ready")
            async with Visitor(http, here) as other:
                await other.until("ready")
                await other._join(other._handler("draw", "click"))  # whose answers it does not read
                assert kept() == [{tab._tab, other._tab}] * 4
            await wait_for(lambda: kept() == [{tab._tab}] * 4, 30)
            await tab.edit("click", at=[10, 10])
            assert tab.marks["pending"] == [10, 10], "the tab that stayed has its picture"

    try:
        asyncio.run(run())
    finally:
        page.close()


def test_a_tab_that_has_come_back_is_not_forgotten():
    places, forgotten = Places(1), []
    here = visits.Visits(places, SimpleNamespace(forget=forgotten.append))
    places.enter("back")
    for tab in ("back", "gone"):
        here._put_away(tab)
    assert forgotten == ["gone"]


def test_a_tab_that_went_before_it_listened_frees_its_place(monkeypatch):
    monkeypatch.setattr(visits, "STAY_SECONDS", 0.2)
    page, here = serve(tiny_generator(64), 17946, max_users=1)

    def working():
        return [job.session_hash for jobs in page._queue.active_jobs for job in jobs or ()]

    async def run() -> None:
        async with client() as http:
            handlers_of_load = [d["id"] for d in page.config["dependencies"] if any("load" in t for t in d["targets"])]
            for fn in handlers_of_load[:2]:
                asked = {"data": [], "fn_index": fn, "session_hash": "gone"}
                assert (await http.post(f"{here}gradio_api/queue/join", json=asked)).is_success
            async with Visitor(http, here) as tab:
                await tab.until("ready")
            await wait_for(lambda: "gone" not in working(), 10)

    try:
        asyncio.run(run())
    finally:
        page.close()


def test_listeners_are_those_whose_stream_is_open_however_it_ends():
    listeners = Listeners()
    here = []

    async def broken(scope, receive, send):
        here.append(("a" in listeners, "b" in listeners))
        raise OSError("the connection is lost")

    async def run() -> None:
        for path, tab in (("/queue/data", "a"), ("/edit/gradio_api/queue/data", "b"), ("/queue/join", "a")):
            scope = {"type": "http", "path": path, "query_string": f"session_hash={tab}".encode()}
            with pytest.raises(OSError, match="lost"):
                await listeners.around(broken)(scope, None, None)
        for scope in ({"type": "lifespan"}, {"type": "http", "path": "/queue/data", "query_string": b""}):
            with pytest.raises(OSError, match="lost"):
                await listeners.around(broken)(scope, None, None)

    asyncio.run(run())
    assert here == [(True, False), (False, True), *3 * [(False, False)]]
    assert "a" not in listeners
    assert "b" not in listeners


def test_a_listener_is_behind_while_its_line_takes_no_more():
    listeners, line = Listeners(), asyncio.Event()

    async def taken(message):
        await line.wait()

    async def answering(scope, receive, send):
        await send({})

    async def run() -> None:
        scope = {"type": "http", "path": "/queue/data", "query_string": b"session_hash=a"}
        stream = asyncio.create_task(listeners.around(answering)(scope, None, taken))
        await asyncio.sleep(0)
        assert listeners.behind("a")
        assert not listeners.behind("b")
        line.set()
        await stream

    asyncio.run(run())
    assert not listeners.behind("a")


def test_a_browser_that_tells_what_it_shows_is_behind_until_it_has_shown_the_last_but_one():
    listeners = Listeners()
    line, other = listeners.line("a"), listeners.line("a")
    answers = []

    async def send(message):
        answers.append(message)

    def told(query: str) -> None:
        scope = {"type": "http", "path": "/edit/gradio_api/seen", "query_string": query.encode()}
        asyncio.run(listeners.around(None)(scope, None, send))

    assert [line.next() for _ in range(5)] == [1, 2, 3, 4, 5]
    assert not line.behind, "who tells nothing is sent all"
    told(f"line={line.name}&number=3")
    assert line.behind
    told(f"line={line.name}&number=4")
    assert not line.behind
    told(f"line={line.name}&number=2")
    assert not line.behind, "they may come in another order"
    numbers = (f"line={other.name}{rest}" for rest in ("", "&number=-1", "&number=one", f"&number={'9' * 5000}"))
    for nonsense in ("", "line=nobody&number=1", "self=1", "%ff", *numbers):
        told(nonsense)
    assert {answer["status"] for answer in answers[::2]} == {204}
    other.next(), other.next()
    assert not other.behind


def test_a_tab_that_does_not_read_is_noticed_before_much_waits_for_it(monkeypatch):
    monkeypatch.setattr("draggan.web.dragging.FRAME_SECONDS", 0)
    monkeypatch.setattr("draggan.web.dragging.encode", lambda picture, lossless: bytes(1 << 22))
    page, here = serve(tiny_generator(64), 17948, max_users=1)

    async def run() -> None:
        async with client() as http, Visitor(http, here) as tab:
            await tab.until("ready")
            await tab.edit("pair", at=[5, 6], to=[60, 60])
            event = await tab._join(drag := tab._handler("drag", "click"))
            end, looks = time.monotonic() + 30, 0
            while looks < 10 and time.monotonic() < end:
                looks = looks + 1 if page.listeners.behind(tab._tab) else 0
                time.sleep(0.02)  # the loop that reads waits, too
            assert looks == 10
            lines = [each.transport.get_extra_info("socket") for each in page.server.server_state.connections]
            if unsent := getattr(socket, "TCP_NOTSENT_LOWAT", None):
                held = {line.getsockopt(socket.IPPROTO_TCP, unsent) for line in lines}
                assert held == {server.UNSENT_BYTES}
            answers = [tab.marks["phase"] async for _ in tab._messages(drag, event)]
            assert answers[-1] != "dragging"

    try:
        asyncio.run(run())
    finally:
        page.close()


def test_a_server_that_nobody_asks_looks_seldom():
    page, _ = serve(tiny_generator(64), 17947, max_users=1)
    page.close()
    assert page._queue.sleep_when_free == server.LOOK_SECONDS > gr.Blocks().queue()._queue.sleep_when_free


def test_pictures_are_put_away_after_a_time(monkeypatch):
    monkeypatch.setattr(app, "IDLE_SECONDS", 1)
    page, here = serve(tiny_generator(64), 17940, max_users=5)

    async def run() -> None:
        async with client() as http, Visitor(http, here) as tab:
            await tab.until("ready")
            await wait_for(lambda: not any(s.state_data for s in page.app.state_holder.session_data.values()), 20)
            await tab.edit("click", at=[10, 10])
            assert tab.marks["pending"] is None
            with pytest.raises(Refused, match="reload the page"):
                await tab.fire("draw", "click")

    try:
        asyncio.run(run())
    finally:
        page.close()


def test_the_first_frame_of_a_drag_is_timed_beside_the_drag_alone(address):
    ((page, alone),) = asyncio.run(first_frame.measure(address, "cpu", rounds=1))
    assert page > 0
    assert alone > 0


def test_a_few_simulated_users_see_no_error_and_only_their_own(address, capsys):
    for seconds in (8, 40):  # which is enough on a machine with much else to do
        work = simulate(address, os.getpid(), users=4, seconds=seconds, pause=0.2, every=seconds / 4)
        log, readings = asyncio.run(work)
        assert not log.errors
        if min(log.steps[user] for user in range(4)) > 0 and log.done["drags undone"] >= 4:
            break
    else:
        pytest.fail(f"steps {log.steps}, done {log.done}")
    assert len(waits(log)) == len(log.turns)
    assert len(readings) == 4
    report(log, readings, users=4)
    said = capsys.readouterr().out
    assert "errors: 0" in said
    assert "waits of more than twice the fair share: " in said


def test_waits_are_measured_against_the_fair_share():
    log = Log(until=0)
    log.crowd = [(0.0, 2)]
    log.turns = [(1.0, 1), (2.0, 1), (3.0, 1), (4.0, 1)]  # three of one user, then one of the other
    log.waits = [(0.0, 4.0, 1), (2.0, 3.0, 1)]
    unlucky, lucky = waits(log)
    assert (unlucky.seconds, unlucky.fair, unlucky.times) == (4, 2, 2)
    assert (lucky.seconds, lucky.fair, lucky.times) == (1, 2, 0.5)


def test_growth_is_that_of_the_second_half():
    readings = [Reading(60.0 * i, megabytes, 0, 0, 0) for i, megabytes in enumerate((100, 200, 210, 220))]
    assert growth(readings) == pytest.approx(10)
