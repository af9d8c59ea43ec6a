"""Joining a Ray cluster; what runs on one is tested where it is used."""

import socket

import pytest

from mien.base.errors import RunError
from mien.base.processes import start_ray
from support import raises


def test_an_address_that_is_no_name_of_a_host_is_refused(monkeypatch):
    pytest.importorskip("ray", reason="mien[scale] is not installed")
    monkeypatch.setenv("RAY_ADDRESS", "head..example:6379")
    with raises(RunError, "ray-unreachable", "head..example"):
        start_ray()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_an_address_without_a_cluster_is_refused_at_once(monkeypatch, scheme):
    """Oracle: a port that was free a moment ago. Ray itself would try for minutes."""
    ray = pytest.importorskip("ray", reason="mien[scale] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was asked"))
    with raises(RunError, "ray-unreachable", address):
        start_ray()
