"""File systems of a test's own: small ones, and ones that may not be written, where this process may make them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: str = "512k") -> Iterator[Path]:
    place.mkdir()
    with _mounted(["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], place):
        yield place


@contextmanager
def read_only(place: Path) -> Iterator[Path]:
    with _mounted(["--bind", str(place), str(place)], place):
        subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
        yield place


@contextmanager
def _mounted(options: list[str], place: Path) -> Iterator[None]:
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("this process may not mount file systems")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # observables may still be mapped into memory
