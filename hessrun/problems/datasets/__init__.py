"""Datasets: what is read, and how it is split, standardised and fingerprinted."""

from hessrun.problems.datasets.cifar import CIFAR10
from hessrun.problems.datasets.data import Data, Examples, Source, Split
from hessrun.problems.datasets.dataset import Dataset
from hessrun.problems.datasets.embedded import BreastCancer, Diabetes, Digits, Wine
from hessrun.problems.datasets.foreign import TorchDataset
from hessrun.problems.datasets.images import MNIST, FashionMNIST
from hessrun.problems.datasets.memory_mapped import MemoryMapped
from hessrun.problems.datasets.synthetic import Synthetic

__all__ = [
    "CIFAR10",
    "MNIST",
    "BreastCancer",
    "Data",
    "Dataset",
    "Diabetes",
    "Digits",
    "Examples",
    "FashionMNIST",
    "MemoryMapped",
    "Source",
    "Split",
    "Synthetic",
    "TorchDataset",
    "Wine",
]
