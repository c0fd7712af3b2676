"""Models and applications that the tests of the server share."""

from __future__ import annotations

import pytest

from bilstm.server.app import create_app
from bilstm.server.models import Models
from bilstm.server.settings import Settings
from tests.server.made import write_models

TOKEN = "correct horse battery staple"


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    """A model file of each kind, by name."""
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def models(paths):
    found = Models(paths, Settings(page=False))
    yield found
    found.close(10)


@pytest.fixture(scope="session")
def app(models):
    return create_app(models, Settings(page=False))


@pytest.fixture
def app_of(paths):
    """Makes an application of some models with settings of its own; ``made`` are the models, the last one's last."""
    made = []

    def make(*names, **options):
        settings = Settings(page=False, **options)
        made.append(Models({name: paths[name] for name in names or ("text",)}, settings))
        return create_app(made[-1], settings)

    make.made = made
    yield make
    for one in made:
        one.close(10)
