"""A connection to Ray: to a cluster that runs somewhere, or to one that is started here for as long as it is needed.

Knows addresses and processors; does not know what will be done there.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from bilstm.errors import BilstmError, from_extra

ANSWERS = 10.0  # seconds until a cluster must answer
LOCAL = "local"  # the address of a cluster that is started here
# Ray reads these when it is imported. It shall not send figures of its use; not chatter; and a worker without a GPU
# keeps seeing what the machine has.
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def ray_module() -> Any:
    """Ray, imported with our settings."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return from_extra("ray", "cluster")


def processors(ray: Any) -> int:
    """How many processors a cluster that is connected lends out."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


@contextmanager
def connected(address: str | None, cpus: int) -> Iterator[Any]:
    """Ray, connected: what a program has connected already is taken as it is.

    The address is one that ``ray.init`` takes (``auto`` is the cluster of this machine); ``local`` or None starts a
    cluster here, which lends out so many processors, whether the machine has them or not, and ends it afterwards.
    """
    ray, address = ray_module(), address or LOCAL
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"ray(\.|$)")  # of Ray's own future; not ours to heed
        if ray.is_initialized():
            yield ray
            return
        own = {"num_cpus": cpus, "include_dashboard": False} if address == LOCAL else {}
        place = urlsplit(address if "://" in address else f"//{address}")
        try:
            try:
                if place.hostname and place.port:  # to a cluster that does not answer Ray itself would try for minutes
                    socket.create_connection((place.hostname, place.port), timeout=ANSWERS).close()
                ray.init(address=address, log_to_driver=False, logging_level="error", **own)
            except (ConnectionError, ValueError, RuntimeError, OSError) as error:
                reason = str(error).split("\n", 1)[0]
                message = f"No Ray cluster answers at {address}: {reason}"
                raise BilstmError(message, hint="start one with: ray start --head") from None
            yield ray
        finally:
            ray.shutdown()
