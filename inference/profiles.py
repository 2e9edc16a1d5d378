"""Sizes of batches: what shapes they make, and TensorRT's profiles for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from engine.errors import MienError
from inference.card import Card, Tensor

SIZES: Final = (1, 2, 4, 8, 16)


def batch_axis(tensor: Tensor) -> int:
    """The axis along which calls lie: the first of length 1. Raises MienError."""
    if 1 not in tensor.shape:
        raise MienError(f"{tensor.name} {list(tensor.shape)} has no axis for a batch")
    return tensor.shape.index(1)


def wide(tensor: Tensor, size: int) -> list[int]:
    """The shape of so many calls of a tensor. Raises MienError."""
    shape = list(tensor.shape)
    shape[batch_axis(tensor)] = size
    return shape


def add_profiles(
    card: Card, trt: Any, builder: Any, network: Any, config: Any, sizes: Sequence[int]
) -> None:
    """Let a parsed network of one call take as many as each of ``sizes`` says, exactly.

    Raises MienError where its outputs don't follow.
    """
    for number in range(network.num_layers):
        layer = network.get_layer(number)
        if layer.type != trt.LayerType.SHUFFLE or layer.num_inputs != 1:
            continue
        layer.__class__ = trt.IShuffleLayer
        try:
            lengths = tuple(layer.reshape_dims)
        except ValueError:  # it only transposes
            continue
        if lengths and min(lengths) > 0:
            layer.reshape_dims = (-1, *lengths[1:])  # calls lie outermost
    for number in range(network.num_inputs):
        port = network.get_input(number)
        port.shape = tuple(wide(_tensor(card.inputs, port.name), -1))
    for number in range(network.num_outputs):
        port = network.get_output(number)
        if -1 not in tuple(port.shape):
            raise MienError(f"{card.name} takes no batches: {port.name} stays {tuple(port.shape)}")
    for size in sizes:
        profile = builder.create_optimization_profile()
        for tensor in card.inputs:
            shape = tuple(wide(tensor, size))
            profile.set_shape(tensor.name, shape, shape, shape)
        config.add_optimization_profile(profile)


def _tensor(tensors: Sequence[Tensor], name: str) -> Tensor:
    return next(tensor for tensor in tensors if tensor.name == name)
