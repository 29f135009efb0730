"""Fetch the files of one source of evaluation data (:mod:`ernie_m.downloads.fetch`)."""

from ernie_m.config.sources import SourceJob
from ernie_m.downloads.fetch import download
from ernie_m.job import main

if __name__ == "__main__":
    main(download, SourceJob)
