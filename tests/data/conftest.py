"""What tests of readers share: files of some text."""

from __future__ import annotations

import pytest


@pytest.fixture
def write(tmp_path, request):
    """A file of this text or these bytes; FILE of the test's module is its name where none is given."""

    def write_file(content: str | bytes, name: str | None = None):
        path = tmp_path / (name or request.module.FILE)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file
