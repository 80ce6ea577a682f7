#!/usr/bin/env python3
"""Turns the recorded random numbers of JAX (threefry.h5) into threefry.json.

usage: make_threefry_json.py threefry.h5 > threefry.json

Every array keeps its shape and holds 32-bit words; a float stands as its bits, so nothing is rounded on the way.
"""

import json
import sys

import h5py
import numpy


def as_words(dataset):
    values = numpy.asarray(dataset[()])
    assert values.dtype.itemsize == 4, dataset.name
    return numpy.ascontiguousarray(values).view(numpy.uint32).tolist()


def as_tree(group):
    return {name: as_tree(item) if isinstance(item, h5py.Group) else as_words(item)
            for name, item in group.items()}


def main():
    with h5py.File(sys.argv[1]) as file:
        tree = {"jax": file.attrs["jax"], **as_tree(file)}
    json.dump(tree, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
