"""Checkpoints: one folder each, whole or not there at all, every byte verified on loading."""

from firsthand.checkpoint.format import Checkpoint, latest, load, read, resolve, save
from firsthand.checkpoint.tensors import read_header, read_safetensors, write_safetensors
from firsthand.checkpoint.tidy import claim

__all__ = [
    "Checkpoint",
    "claim",
    "latest",
    "load",
    "read",
    "read_header",
    "read_safetensors",
    "resolve",
    "save",
    "write_safetensors",
]
