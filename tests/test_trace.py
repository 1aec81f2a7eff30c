import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from slt import trace as module
from slt._netcdf import to_bytes
from slt._store import TRACE_FORMAT
from slt.errors import InputError, SaveError, SettingsError, TraceFileError
from slt.trace import Trace

ROOT, OUTSIDE = Path(__file__).parents[1], Path(__file__)

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

    def fail(handle):
        raise OSError("No space left on device")

    other = build(settings={**SETTINGS, "seed": 7})
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SaveError, match="No space left") as refused:
        other.save(path)
    assert refused.value.trace is other
    assert_same(Trace.load(path), build())
    assert os.listdir(tmp_path) == ["trace.nc"]


def test_a_missing_folder_is_an_error_of_slt_that_holds_the_trace(tmp_path):
    trace = build()
    with pytest.raises(SaveError, match=r"the folder .*nowhere does not exist") as refused:
        trace.save(tmp_path / "nowhere" / "trace.nc")
    assert refused.value.trace is trace


REFUSED_WRITE = """
import resource, sys
from slt.errors import SaveError
from tests.test_trace import build
trace = build()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    trace.save(sys.argv[1])
except SaveError as error:
    assert error.trace is trace
    print("refused")
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_write_that_fails_does_not_end_the_process(tmp_path):
    """HDF5 ends it with a segmentation fault where it meets the failure itself."""
    command = [sys.executable, "-c", REFUSED_WRITE, str(tmp_path / "trace.nc")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")
    assert os.listdir(tmp_path) == []


def test_the_same_trace_is_the_same_bytes_and_they_end_with_their_checksum(tmp_path):
    build().save(tmp_path / "a.nc")
    Trace.load(tmp_path / "a.nc").save(tmp_path / "b.nc")
    content = (tmp_path / "a.nc").read_bytes()
    assert content == (tmp_path / "b.nc").read_bytes()
    assert content.endswith(b"slt-sha256:" + hashlib.sha256(content[:-75]).hexdigest().encode())
    with h5py.File(tmp_path / "a.nc") as file:
        assert file["posterior/excess"].shape == (3, 50)
    with xr.open_datatree(tmp_path / "a.nc", engine="h5netcdf") as tree:
        assert tree["posterior"].sizes == {"chain": 3, "draw": 50}


def test_any_changed_bytes_are_noticed(tmp_path):
    path, rng = tmp_path / "trace.nc", np.random.default_rng(0)
    build().save(path)
    whole = np.fromfile(path, np.uint8)
    at_the_end = np.arange(len(whole) - 75, len(whole))
    places = [rng.choice(len(whole), 8, replace=False) for _ in range(60)] + [at_the_end[i : i + 1] for i in range(75)]
    for where in places:
        damaged = whole.copy()
        damaged[where] ^= rng.integers(1, 256, len(where), dtype=np.uint8)
        path.write_bytes(damaged.tobytes())
        with pytest.raises(TraceFileError, match=r"cannot be read|is not netCDF-4"):
            Trace.load(path)


def write_as_before(tree, path):
    """Write as the version before did, without a checksum."""
    tree.to_netcdf(path, engine="h5netcdf")


def test_a_file_of_the_version_before_is_read(tmp_path):
    write_as_before(build().to_datatree(), tmp_path / "trace.nc")
    assert_same(Trace.load(tmp_path / "trace.nc"), build())


def claim(file):
    del file["sample_stats/diverging"]
    file["sample_stats"].create_dataset("diverging", (3, 10**13), "f8", chunks=(1, 1000))


def compress(file):
    del file["sample_stats/diverging"]
    zeros = np.zeros((3, 200_000))
    file["sample_stats"].create_dataset("diverging", data=zeros, compression="gzip")


def keep_outside(file):
    del file["posterior/excess"]
    file["posterior"].create_dataset("excess", (3, 50), "f8", external=[(str(OUTSIDE), 0, 1200)])


def link_outside(file):
    del file["posterior/excess"]
    file["posterior/excess"] = h5py.ExternalLink(str(OUTSIDE), "/posterior/excess")


def map_outside(file):
    del file["posterior/excess"]
    layout = h5py.VirtualLayout((3, 50), "f8")
    layout[:] = h5py.VirtualSource(str(OUTSIDE), "/posterior/excess", (3, 50))
    file["posterior"].create_virtual_dataset("excess", layout)


def link_inside(file):
    file["posterior/again"] = h5py.SoftLink("/posterior")


def hold_itself(file):
    file["posterior/again"] = file["posterior"]


def put_at_the_root(file):
    file["posterior2"] = np.zeros(3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (claim, "claims to hold 24000000.* bytes"),
        (compress, "claims to hold 48.* bytes"),
        (keep_outside, "posterior/excess lies in another file"),
        (map_outside, "posterior/excess lies in another file"),
        (link_outside, "excess is a link"),
        (link_inside, "again is a link"),
        (hold_itself, "again is a Group and not a Dataset"),
        (put_at_the_root, "posterior2 is a Dataset and not a Group"),
    ],
)
def test_a_file_that_claims_more_than_it_holds_or_leads_out_of_it_is_refused(tmp_path, change, message):
    write_as_before(build().to_datatree(), tmp_path / "trace.nc")
    with h5py.File(tmp_path / "trace.nc", "a") as file:
        change(file)
    with pytest.raises(TraceFileError, match=message):
        Trace.load(tmp_path / "trace.nc")


def set_constant(name, value, dims=()):
    def change(tree):
        tree["constant_data"] = tree["constant_data"].to_dataset().drop_vars(name).assign({name: (dims, value)})

    return change


def set_settings(text):
    def change(tree):
        tree.attrs["settings"] = text

    return change


def other_settings(**changes):
    return set_settings(json.dumps({**SETTINGS, **changes}))


def drop(group, name):
    def change(tree):
        tree[group] = tree[group].to_dataset().drop_vars(name)

    return change


def turn(tree):
    tree["sample_stats"] = xr.Dataset({"virial": (("draw", "chain"), np.zeros((50, 3)))})


def shorten(tree):
    tree["sample_stats"] = xr.Dataset({"virial": (("chain", "draw"), np.zeros((3, 49)))})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_settings("{"), "settings must be JSON"),
        (set_settings("[" * 100_000), "settings must be JSON"),
        (set_settings("[]"), "settings must be a mapping, got list"),
        (set_settings("{}"), "settings must contain"),
        (set_settings(3), "its settings are not text"),
        (other_settings(unadjusted="yes"), r"settings\['unadjusted'\] must be true or false, got 'yes'"),
        (other_settings(full_data=None), r"settings\['full_data'\] must be true or false"),
        (other_settings(localization=[1]), r"settings\['localization'\] must be a number, text, or"),
        (other_settings(localization={}), "at least one tensor"),
        (other_settings(localization={"w": "x"}), "at least one tensor"),
        (other_settings(notes="all"), r"settings\['notes'\] must be a list"),
        (other_settings(burn_in=-1), r"settings\['burn_in'\] must be a number of draws, got -1"),
        (other_settings(burn_in=True), r"settings\['burn_in'\]"),
        (other_settings(versions=["slt"]), r"settings\['versions'\] must be a mapping"),
        (other_settings(state_dtype=["float32"]), r"settings\['state_dtype'\] must be text"),
        (other_settings(observables=["../weights"]), "serve as file names"),
        (drop("posterior", "excess"), "must contain 'excess'"),
        (drop("constant_data", "nbeta"), r"\['nbeta'\] are missing"),
        (set_constant("n", 0), "n must be an integer of at least 1, got 0"),
        (set_constant("n", 2.5), "n must be an integer"),
        (set_constant("nbeta", np.nan), "nbeta must be a positive number, got nan"),
        (set_constant("nbeta", -1.0), "nbeta must be a positive number"),
        (set_constant("dimension", "many"), "dimension must be an integer"),
        (set_constant("loss_center", np.inf), "loss_center must be a finite number"),
        (set_constant("alive", np.ones(3), ("chain",)), "alive must be 3 bools"),
        (turn, r"virial must have dims \(chain, draw\)"),
        (shorten, r"virial .*\(3, 50\).*got \(3, 49\)"),
    ],
)
def test_a_file_with_parts_that_no_trace_has_is_refused(tmp_path, change, message):
    tree = build().to_datatree()
    change(tree)
    (tmp_path / "trace.nc").write_bytes(to_bytes(tree))
    with pytest.raises(TraceFileError, match=message):
        Trace.load(tmp_path / "trace.nc")


@pytest.fixture
def run(tmp_path):
    """A run's folder: 50 draws of 3 chains that a trace counts, of 60 on the disk."""
    folder = tmp_path / "run"
    (folder / "observables").mkdir(parents=True)
    build(observables=None, settings={**SETTINGS, "observables": ["probe", "w.0"]}).save(folder / "trace.nc")
    for name in ("probe", "w.0"):
        np.save(folder / "observables" / f"{name}.npy", np.random.default_rng(0).normal(size=(60, 3, 4)))
    return folder


def test_observables_are_read_from_beside_the_trace(run):
    np.save(run / "observables" / "another.npy", np.zeros((60, 3)))
    trace = Trace.load(run)
    assert trace.names("observables") == ("probe", "w.0")
    expected = np.load(run / "observables" / "probe.npy")[:50].swapaxes(0, 1)
    assert bits(trace.get("observables", "probe")) == bits(expected)


def test_observables_of_a_run_that_does_not_name_them_are_found(run):
    build(observables=None, settings=SETTINGS).save(run / "trace.nc")
    assert Trace.load(run).names("observables") == ("probe", "w.0")


def cut(file):
    file.write_bytes(file.read_bytes()[:-4000])


def header(text):
    def change(file):
        text_ = text.ljust(117) + b"\n"
        file.write_bytes(b"\x93NUMPY\x01\x00" + len(text_).to_bytes(2, "little") + text_ + bytes(1000))

    return change


def lead_out(file):
    other = file.parents[2] / "elsewhere.npy"
    file.rename(other)
    file.symlink_to(other)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"w\.0\.npy cannot be read: it was cut short: it has 1760 of 5760 bytes"),
        (lambda file: file.write_bytes(b""), "does not start like a .npy file"),
        (lambda file: file.unlink(), r"w\.0\.npy cannot be read: .*No such file"),
        (lead_out, "is a link to a file outside"),
        (
            lambda file: np.save(file, np.array([print, 3]), allow_pickle=True),
            "does not start like a .npy file of numbers",
        ),
        (lambda file: np.save(file, np.zeros((60, 2))), r"float64 of shape \(60, 2\), not draws of 3 chains"),
        (lambda file: np.save(file, np.zeros(60)), r"of shape \(60,\), not draws"),
        (lambda file: np.save(file, np.zeros((49, 3))), "contains 49 draws, fewer than the 50"),
        (lambda file: np.save(file, np.full((60, 3), "x")), "contains <U1 of shape"),
        (
            header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (60, 3, 99999999999999), }"),
            "cut short: it has 1000 of",
        ),
        (header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (print(1), 3), }"), "does not start like"),
        (header(b"{'descr': '<f9', 'fortran_order': False, 'shape': (60, 3), }"), "unknown type, <f9"),
    ],
)
def test_an_observable_that_is_lost_or_damaged_is_named(run, damage, message):
    damage(run / "observables" / "w.0.npy")
    with pytest.raises(TraceFileError, match=message):
        Trace.load(run)


def test_a_trace_that_is_a_link_out_of_its_folder_is_refused(run):
    (run / "trace.nc").rename(run.parent / "elsewhere.nc")
    (run / "trace.nc").symlink_to(run.parent / "elsewhere.nc")
    with pytest.raises(TraceFileError, match="is a link to a file outside"):
        Trace.load(run)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.2, 0.5, 0.75, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
    path = tmp_path / "trace.nc"
    build().save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(TraceFileError, match=r"trace\.nc .*cannot be read.*copy it again"):
        Trace.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist. Give the path"),
        (b"", "is empty"),
        (b"PK\x03\x04 a zip archive", r"is not netCDF-4: it starts with b'PK"),
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
        ({"posterior": {"loss": EXCESS}}, r"must contain 'excess', got \['loss'\]"),
        ({"posterior": {"excess": EXCESS[0]}}, r"shape \(chains, draws\).*got \(50,\)"),
        ({"posterior": {"excess": EXCESS[:0]}}, r"chains >= 1, got \(0, 50\)"),
        ({"posterior": {"excess": EXCESS, "loss": EXCESS[:, 1:]}}, r"posterior/loss .*\(3, 50\).*got \(3, 49\)"),
        ({"sample_stats": {"virial": EXCESS[..., None]}}, r"sample_stats/virial .*got \(3, 50, 1\)"),
        ({"observables": {"probe": EXCESS.T}}, r"observables/probe .*\(3, 50, \.\.\.\).*got \(50, 3\)"),
        ({"sample_stats": {"a/b": EXCESS}}, r"contain '/', got 'a/b'"),
        ({"sample_stats": {"x": EXCESS.astype(np.float16)}}, "float32 or float64, got type float16"),
        ({"sample_stats": {"x": EXCESS.astype(object)}}, "got type object"),
        ({"constant_data": {"n": 1}}, r"\['nbeta', 'dimension', 'loss_center', 'alive'\] are missing"),
        ({"constant_data": {**CONSTANTS, "nbeta": np.ones(3)}}, r"nbeta must be one number, got shape \(3,\)"),
        ({"constant_data": {**CONSTANTS, "alive": np.ones(2, bool)}}, r"alive must match its dims \('chain',\)"),
        ({"constant_data": {**CONSTANTS, "alive": np.ones(3)}}, "alive must be 3 bools"),
        ({"constant_data": {**CONSTANTS, "alive": (("x",), np.ones(3, bool))}}, "alive must be 3 bools"),
        ({"constant_data": {**CONSTANTS, "m": (("a", "b"), np.ones(3))}}, r"m must match its dims \('a', 'b'\)"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unadjusted": False}, r"\['full_data', 'localization', 'localization_zero'\] are missing"),
        ({**SETTINGS, "seed": np.int64(3)}, r"settings\['seed'\] must be something that JSON can write"),
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
