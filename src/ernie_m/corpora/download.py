"""Fetch one dataset of the registry, or the head of its file (:mod:`ernie_m.downloads.fetch`)."""

from ernie_m.config.corpora import DatasetRow
from ernie_m.downloads.fetch import download
from ernie_m.job import main

if __name__ == "__main__":
    main(download, DatasetRow)
