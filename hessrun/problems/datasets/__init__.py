"""Datasets: what is read, and how it is split, standardised and fingerprinted."""

from hessrun.problems.datasets.data import Data, Examples, Source, Split
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.embedded import BreastCancer, Diabetes, Digits, Wine
from hessrun.problems.datasets.foreign import TorchDataset

__all__ = [
    "BreastCancer",
    "Data",
    "Dataset",
    "Diabetes",
    "Digits",
    "Examples",
    "Source",
    "Split",
    "TorchDataset",
    "Wine",
]
