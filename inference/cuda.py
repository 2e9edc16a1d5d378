"""The few calls of the NVIDIA driver that a network needs: device, memory, stream. No toolkit."""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from typing import Any, Final

from engine.errors import MienError
from engine.types import F32

_COMPUTE_MAJOR: Final = 75
_COMPUTE_MINOR: Final = 76
_NON_BLOCKING: Final = 1


class Cuda:
    """The first device, its primary context made current on the calling thread.

    Every thread that uses it must call ``use`` once.
    """

    def __init__(self, library: Any) -> None:
        self._library = library
        self._call("cuInit", 0)
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._device = device.value
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, 256, self._device)
        self.name = name.value.decode(errors="replace")
        self.capability = self._attribute(_COMPUTE_MAJOR), self._attribute(_COMPUTE_MINOR)
        self._context = ctypes.c_void_p()
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self.use()

    def use(self) -> None:
        """Make the device this thread's."""
        self._call("cuCtxSetCurrent", self._context)

    def stream(self) -> int:
        """A new queue of work, as the number that runtimes take."""
        handle = ctypes.c_void_p()
        self._call("cuStreamCreate", ctypes.byref(handle), _NON_BLOCKING)
        return int(handle.value or 0)

    def wait(self, stream: int) -> None:
        """Until all of a queue's work is done."""
        self._call("cuStreamSynchronize", ctypes.c_void_p(stream))

    def end_stream(self, stream: int) -> None:
        """Free a queue."""
        self._call("cuStreamDestroy_v2", ctypes.c_void_p(stream))

    def allocate(self, size_bytes: int) -> int:
        """Memory on the device; its address."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size_bytes))
        return address.value

    def free(self, address: int) -> None:
        """Give memory back."""
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def upload(self, address: int, array: F32, stream: int) -> None:
        """Queue a copy of a contiguous array to the device."""
        self._call(
            "cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes), ctypes.c_void_p(stream),
        )  # fmt: skip

    def download(self, array: F32, address: int, stream: int) -> None:
        """Queue a copy from the device into a contiguous array."""
        self._call(
            "cuMemcpyDtoHAsync_v2", ctypes.c_void_p(array.ctypes.data), ctypes.c_uint64(address),
            ctypes.c_size_t(array.nbytes), ctypes.c_void_p(stream),
        )  # fmt: skip

    def _attribute(self, number: int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), number, self._device)
        return value.value

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorString(code, ctypes.byref(text))
            said = (text.value or b"unknown error").decode(errors="replace")
            raise MienError(f"the NVIDIA driver refuses {name}: {said} ({code})")


@lru_cache(maxsize=1)
def find_cuda() -> Cuda | str:
    """The device, or why there is none."""
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return Cuda(ctypes.CDLL(name))
    except OSError:
        return "no NVIDIA driver here"
    except MienError as error:
        return str(error)
