"""What analyses hand in: what is taken, what is refused, and what is drawn of it."""

from __future__ import annotations

import base64
import contextlib
import io
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import netcdf_file

from server.common.errors import BadRequest
from server.desk.analyses import pictures, results
from server.desk.analyses.results import NoSamples, Product

PNG = b"\x89PNG\r\n\x1a\n"


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def npz(**arrays: Any) -> str:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return text(file.getvalue())


def netcdf() -> str:
    file = io.BytesIO()
    writer = netcdf_file(file, "w")
    writer.createDimension("draw", 5)
    writer.createVariable("t0", "f8", ("draw",))[:] = np.arange(5.0)
    writer.flush()
    return text(file.getvalue())


@pytest.mark.parametrize("analysis", [
    {"results": {"format": "joblib", "data": text(pickle.dumps(1))}},
    {"inference_data": {"format": "pickle", "data": ""}},
    {"plots": [{"format": "svg", "data": text(b"<svg/>")}]},
    {"plots": [{"format": "png", "data": text(b"<html>")}]},
    {"plots": [{"format": "png", "data": "no base64!"}]},
    {"plots": [{"format": "png", "data": text(PNG)}] * 21},
    {"plots": [{"format": "series", "data": {"lines": [{"x": [1], "y": [1, 2]}]}}]},
    {"plots": [{"format": "series", "data": 5}]},
    {"inference_data": {"format": "json", "data": [1]}},
    {"inference_data": {"format": "npz", "data": text(b"PKnothing")}},
    {"inference_data": {"format": "netcdf4", "data": text(b"PK")}},
    {"inference_data": {"format": "npz", "data": npz(a=np.zeros(3_000_000))}},
    {"else": 1}, {"plots": 5}, {"results": "x"}])
def test_refused(analysis: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match=r"results|inference_data|plots|Invalid"):
        results.from_upload(analysis, None)


@pytest.mark.parametrize("product", [
    Product(format="json", data={"t0": [0, 1, 2, 3, 4]}), Product(format="npz", data=npz(t0=np.arange(5.0))),
    Product(format="netcdf", data=netcdf())])
def test_samples(product: Product) -> None:
    results.from_upload({"inference_data": {"format": product.format, "data": product.data}}, None)
    assert results.samples_of(product)["t0"].tolist() == [0, 1, 2, 3, 4]
    assert results.file_of(product)[1]


@pytest.mark.parametrize("product", [
    None, Product(format="json", data={"a": [1, 2], "b": [1]}), Product(format="json", data={}),
    Product(format="json", data={"a": ["x", "y"]}), Product(format="json", data={"a": [None, 1.0]}),
    Product(format="npz", data=npz(a=np.array([{}, {}], dtype=object))),
    Product(format="netcdf4", data=text(b"\x89HDF\r\n\x1a\n"))])
def test_no_corner_plot_of_these(product: Product | None) -> None:
    with pytest.raises(NoSamples):
        results.samples_of(product)


def test_pictures() -> None:
    dice = np.random.default_rng(1)
    samples = {"a": dice.normal(size=200), "b$_{": dice.normal(size=200)}
    assert pictures.corner(samples).startswith(PNG)
    line = {"x": [1.0, None], "y": [2.0, 3.0], "error": [0.1, 0.2], "label": "$\\frac"}
    series = {"lines": [line, {"x": [1, 2], "y": [1, 2], "style": "line"}], "title": "$$$\\badmath{"}
    data, kind = pictures.picture(Product(format="series", data=series))
    assert (data[:8], kind) == (PNG, "png")


WORDS = ["status", "message", "analysis", "results", "plots", "format", "data", "inference_data", "x",
         "y", "lines"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=20)


@given(VALUES)
def test_whatever_is_sent_is_read_or_refused(document: Any) -> None:
    with contextlib.suppress(BadRequest):
        said = results.read(document if isinstance(document, dict) else {
            "status": "success", "analysis": document})
        assert said.status in ("success", "failure")
