"""The examples in the OpenAPI document. A test asks for them and compares."""

from __future__ import annotations

from typing import Any

PREDICT: dict[str, Any] = {}
BATCH: dict[str, Any] = {}
