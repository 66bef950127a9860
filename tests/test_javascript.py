"""The page's JavaScript keeps the rules of .oxlintrc.json."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "draggan").rglob("*.js"))


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sysconfig.get_path("scripts")) / "oxlint", "--config", ROOT / ".oxlintrc.json", path]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_keep_the_rules(path):
    done = lint(path)
    assert "on 1 file" in done.stdout
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("elements.hidden = true;", "no-undef"),
        ("const unused = element;", "no-unused-vars"),
        ("if (props.marks == 'x') trigger('edit');", "eqeqeq"),
        ("watch('marks', () => { const props = {}; trigger(props); });\nconsole.log(1);", "no-console"),
    ],
)
def test_the_rules_find_faults(code, rule, tmp_path):
    path = tmp_path / "faulty.js"
    path.write_text(code)
    done = lint(path)
    assert done.returncode == 1
    assert f"({rule})" in done.stdout
