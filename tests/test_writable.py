"""What is said to be writable can be written."""

import os
from contextlib import suppress

import pytest
import torch

from draggan.stylegan2.checkpoint import write_whole
from draggan.stylegan2.whole import write
from draggan.writable import check_file, check_folder


def may_be_written(path):
    with suppress(OSError):
        check_file(path, (".draggan",))
        return True
    return False


def test_the_longest_name_that_is_accepted_can_be_written(tmp_path):
    paths = (tmp_path / f"{'n' * length}.draggan" for length in range(247, 0, -1))
    longest = next(path for path in paths if may_be_written(path))
    assert len(longest.name) > 200
    write_whole(longest, {"a": torch.zeros(1)})
    assert [path.name for path in tmp_path.iterdir()] == [longest.name]


def test_names_of_a_folder_are_as_long_as_their_bytes(tmp_path):
    names = ["n" * 150, "\N{CYRILLIC SMALL LETTER ZHE}" * 130]
    with pytest.raises(OSError, match="name too long"):
        check_folder(tmp_path / "out", names)
    check_folder(tmp_path / "out", names[:1])


def test_a_session_has_a_name_that_can_be_read_again(tmp_path):
    odd = tmp_path / os.fsdecode(b"\xff.draggan")
    with pytest.raises(ValueError, match=r"udcff.draggan.: the name is not UTF-8"):
        check_file(odd, (".draggan",))
    check_file(odd.with_suffix(".png"), (".png",))
    check_file(tmp_path / "\N{CYRILLIC SMALL LETTER ZHE}.draggan", (".draggan",))


def test_a_file_that_is_there_keeps_its_content_and_must_be_writable(tmp_path, monkeypatch):
    path = tmp_path / "A.PNG"
    path.write_bytes(b"of before")
    check_file(path, (".png",))
    assert path.read_bytes() == b"of before"

    def closed(*_):  # what a write-protected file says
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", closed)
    with pytest.raises(OSError, match=r"A\.PNG cannot be written \(Permission denied\): name another place"):
        check_file(path, (".png",))


@pytest.mark.skipif(os.name == "nt", reason="links and modes are others there")
def test_what_is_written_anew_is_the_same_file_to_others(tmp_path):
    path, link = tmp_path / "a.png", tmp_path / "link.png"
    path.touch()
    path.chmod(0o600)
    link.symlink_to(path)
    write(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), r"a\.png cannot be written \(No space left on device\): name another"),
        (OSError("no more"), r"a\.png cannot be written \(no more\): name another place"),
        (ValueError("no picture"), "^no picture$"),
    ],
)
def test_what_is_written_in_part_leaves_what_there_was(tmp_path, monkeypatch, error, message):
    path = tmp_path / "a.png"
    path.write_text("of before")

    def half(part, raw):
        part.write_text("half")
        raise error

    monkeypatch.setattr("pathlib.Path.write_bytes", half)
    with pytest.raises(type(error), match=message):
        write(path, b"all of it")
    assert path.read_text() == "of before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match=r"b\.png cannot be written \(.+\): name another place"):
        write(path / "b.png", b"below a file")
