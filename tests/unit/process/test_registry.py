from importlib.metadata import EntryPoint

import pytest

from benchpool.errors import PrerequisiteError, UnknownModule
from benchpool.process import registry as registry_module
from benchpool.process.process import Process
from benchpool.process.registry import GROUP, Registry


class Quiet(Process):
    pass


@pytest.fixture
def install(monkeypatch):
    def install(**points):
        found = {name: EntryPoint(name, value, GROUP) for name, value in points.items()}
        monkeypatch.setattr(registry_module, "_installed", lambda: found)

    return install


def test_a_class_is_offered_under_its_own_name_or_another():
    registry = Registry()
    assert registry.add(Quiet) == "Quiet"
    assert registry.add(Quiet, "Silent") == "Silent"
    assert registry.find("Quiet") is registry.find("Silent") is Quiet


def test_an_unknown_module_names_those_there_are(install):
    install(Installed="a:b")
    registry = Registry()
    registry.add(Quiet)
    with pytest.raises(UnknownModule, match="'Loud'; there are: Installed, Quiet"):
        registry.find("Loud")


def test_an_added_module_hides_an_installed_one(install):
    install(Quiet="nowhere:Nothing")
    registry = Registry()
    registry.add(Quiet)
    assert registry.find("Quiet") is Quiet


def test_an_installed_module_is_found_by_its_entry_point(install):
    install(Base="benchpool.process.process:Process")
    assert Registry().find("Base") is Process


def test_an_entry_point_to_something_else_is_no_module(install):
    install(Wrong="benchpool.ao.tags:NO_TAGS")
    with pytest.raises(UnknownModule, match="'Wrong', makes no processes"):
        Registry().find("Wrong")


@pytest.mark.parametrize("value", ["benchpool.not_there:Thing", "benchpool.ao.message:NotThere"])
def test_a_module_that_cannot_be_imported_is_a_missing_prerequisite(install, value):
    install(Broken=value)
    with pytest.raises(PrerequisiteError, match="Broken"):
        Registry().find("Broken")
