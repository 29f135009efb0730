"""Settings of the report (config key ``report``)."""

from __future__ import annotations

from pydantic import Field

from ernie_m.config.base import Section


class ReportSettings(Section):
    """Title and introduction of the report."""

    title: str = Field(
        "ERNIE-M, reproduced",
        min_length=1,
        description="Heading of the report (ours).",
    )
    note: str = Field(
        "",
        description="A sentence under the heading: why this run was made. Empty for none.",
    )
