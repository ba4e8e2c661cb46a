"""The built wheel holds what the tree holds: an unlisted subpackage would be dropped without a word."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import greenroom

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("actors", "persistence", "supervision")


@pytest.mark.process
def test_wheel_files_are_the_trees(tmp_path: Path) -> None:
    copy = tmp_path / "tree"  # building leaves files behind
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".venv", ".git", "build", "*.egg-info"))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, copy],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        built = {name for name in archive.namelist() if name.startswith("greenroom/")}
    facade = ROOT / ".src" / "greenroom"
    wanted = {f"greenroom/{path.name}" for path in facade.iterdir() if path.is_file()}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            wanted.add(f"greenroom/{path.relative_to(ROOT).as_posix()}")
        for path in (ROOT / package).rglob("*.template"):
            wanted.add(f"greenroom/{path.relative_to(ROOT).as_posix()}")
    assert built == wanted


def test_public_names_are_held() -> None:
    assert tuple(sorted(greenroom.__all__)) == greenroom.__all__
    for name in greenroom.__all__:
        assert getattr(greenroom, name).__module__.startswith("greenroom.")


@pytest.mark.process
def test_nothing_names_a_registry() -> None:
    """Pins are fine; addresses of registries are not."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    hosts = ("pythonhosted" + ".org", "pypi" + ".org", "npmjs" + ".org")
    for name in tracked:
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png"}:
            text = path.read_text(errors="replace")
            assert not any(host in text for host in hosts), name
