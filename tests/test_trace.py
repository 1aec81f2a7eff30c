import json
import os

import numpy as np
import pytest
import xarray as xr

from slt import trace as module
from slt._store import TRACE_FORMAT
from slt.errors import InputError, SettingsError, TraceFileError
from slt.trace import Trace

SETTINGS = {"unadjusted": False, "full_data": True, "localization": {"w": 1.0}, "localization_zero": False}
NAN_WITH_PAYLOAD = np.frombuffer(np.uint64(0x7FF8DEADBEEF0001).tobytes(), np.float64)[0]


def parts(chains=3, draws=50):
    rng = np.random.default_rng(0)
    excess = rng.gamma(2.0, size=(chains, draws))
    if draws:
        excess[-1, draws // 2 :] = [NAN_WITH_PAYLOAD] + [np.nan] * (draws - draws // 2 - 1)
        excess[0, :4] = [np.inf, -np.inf, -0.0, 5e-324][:draws]
    return {
        "posterior": {"excess": excess, "loss": excess + 0.25, "distance": excess.astype(np.float32)},
        "sample_stats": {"diverging": rng.random((chains, draws)) < 0.5},
        "observables": {"loss_of_rows": rng.normal(size=(chains, draws, 2, 5))},
        "constant_data": {
            "n": 1000,
            "nbeta": 144.7,
            "dimension": 10,
            "loss_center": 0.25,
            "alive": np.arange(chains) < chains - 1,
            "tuning_step_size": (("chain",), np.full(chains, 0.1)),
            "tuning_mass.0.weight": rng.random(4),
            "unit": "nats",
        },
        "settings": {**SETTINGS, "sampler": "HMC()", "seed": 0, "notes": ["a remark"], "batch_size": None},
    }


def build(**changes):
    return Trace.from_arrays(**{**parts(), **changes})


def bits(array):
    return array.dtype, array.shape, array.tobytes()


def assert_same(one, other):
    """Demand the same arrays to the last bit, under the same dims, and the same attributes."""
    one, other = one.to_datatree(), other.to_datatree()
    assert dict(one.attrs) == dict(other.attrs)
    assert list(one.children) == list(other.children)
    for group, node in one.children.items():
        assert set(node.variables) == set(other[group].variables)
        for name, variable in node.variables.items():
            found = other[group].variables[name]
            assert variable.dims == found.dims
            assert bits(variable.to_numpy()) == bits(found.to_numpy()), (group, name)


def test_properties_say_what_was_given():
    trace = build()
    assert (trace.chains, trace.draws, trace.n, trace.dimension) == (3, 50, 1000, 10)
    assert (trace.nbeta, trace.loss_center, trace.localization) == (144.7, 0.25, {"w": 1.0})
    assert trace.alive.dtype == bool
    assert trace.alive.tolist() == [True, True, False]
    assert trace.settings == parts()["settings"]
    assert trace.names("observables") == ("loss_of_rows",)
    assert Trace.from_arrays(**{**parts(), "observables": None}).names("observables") == ()


def test_arrays_come_back_to_the_bit_with_their_dims():
    given, tree = parts(), build().to_datatree()
    for group in ("posterior", "sample_stats", "observables"):
        for name, array in given[group].items():
            assert bits(build().get(group, name)) == bits(array)
            assert tree[group][name].dims[:2] == ("chain", "draw")
    assert tree["constant_data"]["tuning_step_size"].dims == ("chain",)


def test_what_is_inside_cannot_be_changed_from_outside():
    given = parts()
    trace = Trace.from_arrays(**given)
    before = trace.get("posterior", "excess").tobytes()
    given["posterior"]["excess"][:] = 0
    trace.to_datatree()["posterior"]["excess"][:] = 0
    trace.settings["seed"] = 99
    with pytest.raises(ValueError, match="read-only"):
        trace.get("posterior", "excess")[0, 0] = 0
    assert trace.get("posterior", "excess").tobytes() == before
    assert trace.settings["seed"] == 0


def test_a_missing_array_is_named_with_those_there_are():
    with pytest.raises(KeyError, match=r"no sample_stats/surplus; sample_stats holds \['diverging'\]"):
        build().get("sample_stats", "surplus")


@pytest.mark.parametrize("draws", [50, 1, 0])
def test_saving_keeps_every_bit(tmp_path, draws):
    trace = Trace.from_arrays(**parts(draws=draws))
    trace.save(tmp_path / "trace.nc")
    assert_same(trace, Trace.load(tmp_path / "trace.nc"))
    Trace.load(tmp_path / "trace.nc").save(tmp_path / "again.nc")
    assert_same(trace, Trace.load(str(tmp_path / "again.nc")))


def test_settings_longer_than_an_hdf5_attribute_of_old_are_kept(tmp_path):
    localization = {f"block.{i}.attention.weight": 1 / 3 for i in range(5000)}
    trace = build(settings={**SETTINGS, "localization": localization})
    trace.save(tmp_path / "trace.nc")
    assert Trace.load(tmp_path / "trace.nc").localization == localization


def test_a_loaded_trace_no_longer_needs_its_file(tmp_path):
    path = tmp_path / "trace.nc"
    build().save(path)
    loaded = Trace.load(path)
    build(settings={**SETTINGS, "seed": 7}).save(path)
    assert Trace.load(path).settings["seed"] == 7
    path.unlink()
    assert_same(loaded, build())


def test_others_can_read_the_file(tmp_path):
    build().save(tmp_path / "trace.nc")
    with xr.open_dataset(tmp_path / "trace.nc", group="posterior", engine="h5netcdf") as posterior:
        assert posterior["excess"].sizes == {"chain": 3, "draw": 50}


def test_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "trace.nc"
    build().save(path)

    def fail(self, file, **options):
        file.write_bytes(b"\x89HDF")
        raise OSError("No space left on device")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(OSError, match="No space left"):
        build().save(path)
    assert_same(Trace.load(path), build())
    assert os.listdir(tmp_path) == ["trace.nc"]


@pytest.mark.parametrize("share", [0.001, 0.05, 0.2, 0.5, 0.75, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "trace.nc"
    build().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(TraceFileError, match=r"trace\.nc .*cannot be read whole.*copy it again"):
        Trace.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist. Give the path"),
        (b"", "is empty"),
        (b"PK\x03\x04 a zip archive", r"is not netCDF-4: it begins with b'PK"),
    ],
)
def test_what_is_no_netcdf_is_refused(tmp_path, content, message):
    path = tmp_path / "trace.nc"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TraceFileError, match=rf"trace\.nc {message}"):
        Trace.load(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(TraceFileError, match="is a folder"):
        Trace.load(tmp_path)


def test_netcdf_of_others_is_refused(tmp_path):
    xr.Dataset({"x": ("t", np.zeros(3))}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(TraceFileError, match=r"other\.nc is netCDF-4 but not a trace"):
        Trace.load(tmp_path / "other.nc")


def test_a_missing_group_is_named(tmp_path):
    tree = build().to_datatree()
    tree.drop_nodes("posterior").to_netcdf(tmp_path / "trace.nc", engine="h5netcdf")
    with pytest.raises(TraceFileError, match=r"lacks the groups \['/posterior'\]"):
        Trace.load(tmp_path / "trace.nc")


def test_a_newer_format_is_refused_and_says_who_wrote_it(tmp_path, monkeypatch):
    with monkeypatch.context() as later:
        later.setattr(module, "TRACE_FORMAT", TRACE_FORMAT + 1)
        later.setattr(module, "slt_version", lambda: "9.0")
        build().save(tmp_path / "trace.nc")
    with pytest.raises(TraceFileError, match=rf"has format {TRACE_FORMAT + 1}, written by slt 9\.0"):
        Trace.load(tmp_path / "trace.nc")


CONSTANTS = parts()["constant_data"]
EXCESS = parts()["posterior"]["excess"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"posterior": {"loss": EXCESS}}, r"must hold 'excess', got \['loss'\]"),
        ({"posterior": {"excess": EXCESS[0]}}, r"shape \(chains, draws\).*got \(50,\)"),
        ({"posterior": {"excess": EXCESS[:0]}}, r"chains >= 1, got \(0, 50\)"),
        ({"posterior": {"excess": EXCESS, "loss": EXCESS[:, 1:]}}, r"posterior/loss .*\(3, 50\).*got \(3, 49\)"),
        ({"sample_stats": {"virial": EXCESS[..., None]}}, r"sample_stats/virial .*got \(3, 50, 1\)"),
        ({"observables": {"probe": EXCESS.T}}, r"observables/probe .*\(3, 50, \.\.\.\).*got \(50, 3\)"),
        ({"sample_stats": {"a/b": EXCESS}}, r"hold '/', got 'a/b'"),
        ({"sample_stats": {"x": EXCESS.astype(np.float16)}}, "float64 or text, got type float16"),
        ({"sample_stats": {"x": EXCESS.astype(object)}}, "got type object"),
        ({"constant_data": {"n": 1}}, r"\['nbeta', 'dimension', 'loss_center', 'alive'\] are missing"),
        ({"constant_data": {**CONSTANTS, "nbeta": np.ones(3)}}, r"nbeta must be one number, got shape \(3,\)"),
        ({"constant_data": {**CONSTANTS, "alive": np.ones(2, bool)}}, r"alive must fit its dims \('chain',\)"),
        ({"constant_data": {**CONSTANTS, "alive": np.ones(3)}}, "alive must be 3 bools"),
        ({"constant_data": {**CONSTANTS, "alive": (("x",), np.ones(3, bool))}}, "alive must be 3 bools"),
        ({"constant_data": {**CONSTANTS, "m": (("a", "b"), np.ones(3))}}, r"m must fit its dims \('a', 'b'\)"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unadjusted": False}, r"\['full_data', 'localization', 'localization_zero'\] are missing"),
        ({**SETTINGS, "seed": np.int64(3)}, r"settings\['seed'\] must be what JSON can write"),
        ({**SETTINGS, "sampler": object()}, r"settings\['sampler'\]"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(SettingsError, match=message):
        build(settings=settings)


def test_settings_are_json_in_the_attributes_of_the_root():
    attrs = build().to_datatree().attrs
    assert json.loads(attrs["settings"]) == parts()["settings"]
    assert attrs["format"] == TRACE_FORMAT


def test_arviz_takes_it():
    import arviz as az

    data = build(posterior={"excess": np.random.default_rng(0).normal(size=(3, 50))}).to_arviz()
    assert float(az.rhat(data)["excess"]) < 1.1
    data = data if isinstance(data, xr.DataTree) else data.to_datatree()
    assert {"posterior", "sample_stats", "observables", "constant_data"} <= set(data.children)
    assert json.loads(data.attrs["settings"]) == parts()["settings"]


def test_repr_says_what_is_inside():
    text = repr(build())
    assert text.splitlines()[0] == "Trace: 3 chains x 50 draws of HMC()"
    assert "n 1000, nbeta 144.7, 10 moving parameters, loss at w* 0.25 nats" in text
    assert "chains [2] are not finite" in text
    assert "observables: loss_of_rows" in text
    page = build(settings={**SETTINGS, "sampler": "<script>"})._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page.split("</pre>")[0]
