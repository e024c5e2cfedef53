"""Four CPU devices for every test, chosen before JAX starts, and programs that compile fast, not run fast."""

import logging
import os
import tempfile

import pytest

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4 "
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true "
    "--xla_cpu_use_fusion_emitters=false"
)
# Programs are compiled once a session, in whichever process of its.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="jaxgan-tests-"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


@pytest.fixture(scope="module", autouse=True)
def programs():
    """Each file's compiled programs go when it is done: a process with all of them holds over 5 GiB."""
    import jax

    yield
    jax.clear_caches()


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens a source, SET in its name for `root`, and sees that nothing is written outside of 'data'."""
    from made_sets import seen

    from jaxgan import data

    (tmp_path / "here" / "set").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    def open_source(spec="folder:SET", **options):
        before = seen(tmp_path)
        try:
            spec = spec.replace("SET", f"{tmp_path}/here/set")
            return data.open_source(spec, **{"data_dir": tmp_path / "data", **options})
        finally:
            assert seen(tmp_path) == before

    return open_source


@pytest.fixture
def user_cache(tmp_path, monkeypatch):
    """The user's cache folder, an empty one, for features and weights."""
    from jaxgan.evaluation import collecting
    from jaxgan.features import weights

    for module in (collecting, weights):
        monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "user_cache" / name)
    return tmp_path / "user_cache" / "jaxgan"


@pytest.fixture
def root(tmp_path, opened):
    """The folder SET of `opened`."""
    return tmp_path / "here" / "set"


@pytest.fixture
def said(caplog):
    """What was said of files left out."""
    caplog.set_level(logging.WARNING)
    return lambda: [r.getMessage() for r in caplog.records if r.name.startswith("jaxgan.data")]
