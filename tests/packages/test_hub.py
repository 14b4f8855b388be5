"""hub: models from folders, and what is said where there is no network."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest

import bulssi
from bulssi import hub


@pytest.fixture
def repository(tmp_path: Any) -> Any:
    (tmp_path / "parts_of_it.py").write_text("import bulssi\n\ndef make(n):\n    return bulssi.nn.Linear(n, n)\n")
    (tmp_path / "hubconf.py").write_text(
        "dependencies = ['math']\nfrom parts_of_it import make\n\ndef square(n, bias=True):\n"
        '    """A square layer."""\n    return make(n)\n'
    )
    return tmp_path


def test_a_model_from_a_folder(repository: Any) -> None:
    assert hub.load(str(repository), "square", 3, source="local").weight.shape == (3, 3)
    with pytest.raises(RuntimeError, match="Cannot find callable round in hubconf"):
        hub.load(repository, "round", source="local")
    with pytest.raises(ValueError, match='Unknown source: "web"'):
        hub.load(repository, "square", source="web")


def test_missing_packages_are_named(repository: Any) -> None:
    (repository / "hubconf.py").write_text("dependencies = ['math', 'no_such_package_1', 'no_such_package_2']\n")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_package_1, no_such_package_2"):
        hub.load(repository, "x", source="local")


def test_downloads(tmp_path: Any, monkeypatch: Any) -> None:
    source = tmp_path / "weights-abc.pt"
    bulssi.save({"w": bulssi.ones(2)}, source)
    monkeypatch.setattr(hub, "_dir", str(tmp_path / "hub"))
    state = hub.load_state_dict_from_url(source.as_uri(), progress=False)
    assert state["w"].tolist() == [1, 1] and (tmp_path / "hub" / "checkpoints" / "weights-abc.pt").exists()
    with pytest.raises(RuntimeError, match='invalid hash value .expected "abc"'):
        hub.load_state_dict_from_url(source.as_uri(), tmp_path / "other", check_hash=True, progress=False)
    assert list((tmp_path / "other").iterdir()) == []


def test_without_a_network_it_says_so(tmp_path: Any, monkeypatch: Any) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(hub, "urlopen", unreachable)
    monkeypatch.setattr(hub, "_dir", str(tmp_path))
    with pytest.raises(urllib.error.URLError, match="cannot be reached. Is there a network"):
        hub.load("pytorch/vision", "resnet18")
    with pytest.raises(ValueError, match="is no repository"):
        hub.load("nonsense", "resnet18")


def test_the_folder_is_pytorchs(monkeypatch: Any) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(hub, "_dir", None)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    for value in (None, "/somewhere"):
        if value:
            monkeypatch.setenv("TORCH_HOME", value)
        assert hub.get_dir() == torch.hub.get_dir()
