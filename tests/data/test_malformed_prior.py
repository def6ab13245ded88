"""Malformed weights files of a prior are refused."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from malformed import Bomb, Cases, check_recon_refuses
from tiny_scans import STACK, npy, npy_declaring, npy_header, write_members, write_npz

from pfitre_jax.priors import files

CASES = Cases()


CARD = {"format": 2, "operator": "joseph-1", "network": {}}


def _prior(folder: Path, members: dict[str, bytes] | bytes, name: str = "prior.npz") -> list:
    if isinstance(members, bytes):
        (folder / name).write_bytes(members)
    else:
        write_members(folder, members, name)
    return [*write_npz(folder), "--method", "pfitre", "--prior", name]


def _shipped() -> bytes:
    return files.locate("circuits").read_bytes()


def _archive(**arrays) -> dict[str, bytes]:
    return {f"{name}.npy": npy(array) for name, array in arrays.items()}


for _name, (_make, _message) in {
    "empty": (lambda: b"", "not an .npz"),
    "binary": (lambda: bytes(range(256)), "not an .npz"),
    "half of it": (lambda: _shipped()[: len(_shipped()) // 2], "not an .npz"),
    "no card": (lambda: {"a.npy": npy(STACK)}, "no readable model card"),
    "a card that is a number": (lambda: _archive(card=np.array(3.0)), "no readable model card"),
    "a card that is no JSON": (lambda: _archive(card=np.array("{")), "no readable model card"),
    "a card of brackets": (lambda: _archive(card=np.array("[" * 10**5)), "no readable model card"),
    "a card that is a list": (lambda: _archive(card=np.array("[1]")), "no readable model card"),
    "a card that is not an array": (lambda: {"card": b"{}"}, "prior.npz"),
    "another format": (lambda: _archive(card=np.array(json.dumps(CARD | {"format": 99}))), "format 99"),
    "a network of text": (
        lambda: _archive(card=np.array(json.dumps(CARD | {"network": "wide"}))),
        "expected a table",
    ),
    "a network of 10**9 blocks": (
        lambda: _archive(card=np.array(json.dumps(CARD | {"network": {"blocks": 10**9}}))),
        "cannot be built",
    ),
    "a network of 10**30 channels": (
        lambda: _archive(card=np.array(json.dumps(CARD | {"network": {"channels": [10**30] * 3}}))),
        "cannot be built",
    ),
    "no arrays": (lambda: _archive(card=np.array(json.dumps(CARD))), "cannot be built"),
    "a rho that is not an array": (
        lambda: _archive(card=np.array(json.dumps(CARD))) | {"rho": b"0.1"},
        "prior.npz",
    ),
    "pickled": (lambda: _archive(card=np.array(json.dumps(CARD))) | {"a.npy": _pickled()}, "prior.npz"),
    "a pickle": (lambda: pickle.dumps(Bomb()), "not an .npz"),
    "an array before an archive": (lambda: npy(STACK) + _shipped(), "prior.npz"),
    "10**12 elements declared": (lambda: {"a.npy": npy_declaring((10**12,))}, "prior.npz"),
    "10**9 elements declared": (lambda: {"a.npy": npy_declaring((10**9,), content=bytes(64))}, "prior.npz"),
    "a header that is code": (lambda: {"card.npy": npy_header("print(1)")}, "prior.npz"),
}.items():

    @CASES.case(f"prior: {_name}", _message)
    def _(folder, make=_make):
        return _prior(folder, make())


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.array([Bomb()], dtype=object))
    return buffer.getvalue()


@CASES.case("prior: a FIFO", "no prior")
def _(folder):
    os.mkfifo(folder / "prior.npz")
    return [*write_npz(folder), "--method", "pfitre", "--prior", "prior.npz"]


@CASES.case("prior: a device", "no prior")
def _(folder):
    return [*write_npz(folder), "--method", "pfitre", "--prior", "/dev/zero"]


for _name, _content in {"text": b"weights", "a pickle": pickle.dumps(Bomb()), "empty": b""}.items():

    @CASES.case(f"prior: {_name} called .pth", "prior.pth")
    def _(folder, content=_content):
        return _prior(folder, content, "prior.pth")


@pytest.fixture(scope="module", autouse=True)
def _pytorch_is_imported():
    """The import of PyTorch, which reads .pth files, takes seconds that are not those of a case."""
    with contextlib.suppress(ImportError):
        importlib.import_module("torch")


@pytest.mark.parametrize("name", CASES)
def test_a_malformed_weights_file_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    check_recon_refuses(CASES, name, tmp_path, kept=list(CASES).index(name) % 2 == 1)
