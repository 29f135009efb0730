"""Settings of the experiment tracker (config key ``tracking``)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ernie_m.config.base import Section, without_secrets


class TrackingSettings(Section):
    """Where runs are logged; no result depends on it, and it makes no job run again."""

    uri: Annotated[str, AfterValidator(without_secrets)] = Field(
        "sqlite:///mlflow.db",
        description="MLflow store: a SQLite file, or `http://host:port` of a server. "
        "Empty switches tracking off. A password is not written here: `${NAME}` stands for a "
        "variable of the environment, and MLflow reads MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD (ours).",
    )
    experiment: str = Field(
        "ernie-m",
        min_length=1,
        description="MLflow experiment that collects the runs (ours).",
    )
