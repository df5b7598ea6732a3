"""A small checkout of CozyStack's form: packages of every kind, and what needs what."""

from __future__ import annotations

DIGEST = "sha256:" + "a" * 64


def chart(folder: str, files: dict[str, str], *, name: str = "", version: str = "") -> dict[str, str]:
    """Return a package's files at their paths in a checkout."""
    about = f"apiVersion: v2\nname: {name or 'cozy-' + folder.rpartition('/')[2]}\nversion: 0.0.0\n"
    if version:
        about += f"appVersion: {version}\n"
    return {f"{folder}/Chart.yaml": about, **{f"{folder}/{path}": text for path, text in files.items()}}


def package(name: str, files: dict[str, str], *, version: str = "") -> dict[str, str]:
    return chart(f"packages/{name}", files, version=version)


def pods(image: str, *, kind: str = "Deployment", name: str = "it") -> str:
    """Return an object whose pods run an image; the image is on line 9."""
    return f"""apiVersion: apps/v1
kind: {kind}
metadata:
  name: {name}
spec:
  template:
    spec:
      containers:
      - image: {image}
        name: it
"""
