"""How soon the command line and the page answer: what is timed can be run."""

import sys

from benchmarks import start


def test_the_model_is_loaded_as_python_loads_it():
    exec(start.LOADING.removeprefix("; "))


def test_the_table_is_that_of_its_readme(monkeypatch, capsys):
    monkeypatch.setattr(start, "STARTS", dict.fromkeys(start.STARTS, lambda: 2.0))
    monkeypatch.setattr(sys, "argv", ["start", "--rounds", "1"])
    start.main()
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| start | seconds | of import torch, gradio, and loading the embedded model |"
    assert rows == [f"| {name} | 2.00 | 1.00 |" for name in start.STARTS]
