"""Settings of the experiment tracker (config key ``tracking``)."""

from __future__ import annotations

from pydantic import Field

from ernie_m.config.base import Section


class TrackingSettings(Section):
    """Where runs are logged; no result depends on it, and it makes no job run again."""

    uri: str = Field(
        "sqlite:///mlflow.db",
        description="MLflow store: a SQLite file, or `http://host:port` of a server. "
        "Empty switches tracking off (ours).",
    )
    experiment: str = Field(
        "ernie-m",
        min_length=1,
        description="MLflow experiment that collects the runs (ours).",
    )
