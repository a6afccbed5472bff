"""One reconcile against a real API server without nodes, from reading everything to writing the status, in this process.

Writes are counted as the operator's own client sends them; the status is one of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from bench.figures import Figure, percentile
from hack.cluster.control_plane import ControlPlane, Options
from tests.integration.operator.world import SETTINGS, World, tenant
from tests.integration.operator.world import open_world as connected
from tts_operator.api.crd import definitions
from tts_operator.clock import SystemClock
from tts_operator.observed import Key
from tts_operator.reconcile import reconcile

TENANTS = 100
