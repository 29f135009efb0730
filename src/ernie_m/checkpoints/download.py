"""Fetch the files of one checkpoint of the registry (:mod:`ernie_m.downloads.fetch`)."""

from ernie_m.config.checkpoints import CheckpointRow
from ernie_m.downloads.fetch import download
from ernie_m.job import main

if __name__ == "__main__":
    main(download, CheckpointRow)
