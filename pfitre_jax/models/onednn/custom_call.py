"""Python functions as custom calls of XLA on a CPU.

XLA calls a C function through its foreign function interface (FFI). Here :mod:`ctypes` provides that
function, so that nothing has to be compiled. In contrast to ``jax.pure_callback``, the function receives
NumPy views of XLA's own buffers, without copies and without a call into JAX that could wait for its own
thread. The program contains the name of the call and no address, so that JAX's compilation cache stores it.

The structures are those of ``xla/ffi/api/c_api.h`` in ``jax.ffi.include_dir()``.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from typing import Any

import jax
import numpy as np

_METADATA, _EXECUTE, _FLOAT32, _INTERNAL = 1, 3, 11, 13


def _structure(name: str, *fields: tuple[str, Any]) -> Any:
    return type(name, (ctypes.Structure,), {"_fields_": list(fields)})


_HEAD = (("struct_size", c_size_t), ("extension_start", c_void_p))
_Extension = _structure("Extension", ("struct_size", c_size_t), ("type", c_int), ("next", c_void_p))
_Version = _structure("Version", *_HEAD, ("major", c_int), ("minor", c_int))
_Metadata = _structure(
    "Metadata",
    ("struct_size", c_size_t),
    ("version", _Version),
    ("traits", c_uint32),
    ("state_type", c_int64),
)
_MetadataExtension = _structure("MetadataExtension", ("base", _Extension), ("metadata", POINTER(_Metadata)))
_ErrorArguments = _structure("ErrorArguments", *_HEAD, ("message", c_char_p), ("code", c_int))
_CreateError = ctypes.CFUNCTYPE(c_void_p, POINTER(_ErrorArguments))
_Api = _structure(
    "Api", *_HEAD, ("version", _Version), ("internal", c_void_p), ("create_error", _CreateError)
)
_Buffer = _structure(
    "Buffer", *_HEAD, ("dtype", c_int), ("data", c_void_p), ("rank", c_int64), ("dims", POINTER(c_int64))
)
_Buffers = _structure(
    "Buffers", *_HEAD, ("size", c_int64), ("types", POINTER(c_int32)), ("items", POINTER(POINTER(_Buffer)))
)
_Text = _structure("Text", ("start", c_void_p), ("size", c_size_t))
_Attributes = _structure(
    "Attributes",
    *_HEAD,
    ("size", c_int64),
    ("types", POINTER(c_int32)),
    ("names", POINTER(POINTER(_Text))),
    ("items", POINTER(POINTER(_Text))),
)
_CallFrame = _structure(
    "CallFrame",
    *_HEAD,
    ("api", POINTER(_Api)),
    ("context", c_void_p),
    ("stage", c_int),
    ("arguments", _Buffers),
    ("results", _Buffers),
    ("attributes", _Attributes),
    ("future", c_void_p),
)
# XLA counts the size of the frame to the end of its attributes.
_FRAME_SIZES = (_CallFrame.future.offset, ctypes.sizeof(_CallFrame))
_Handler = ctypes.CFUNCTYPE(c_void_p, POINTER(_CallFrame))

#: XLA keeps the addresses of the handlers for the life of the process.
_HANDLERS: dict[str, Any] = {}


def register(name: str, function: Callable[[str, list[np.ndarray], list[np.ndarray]], None]) -> None:
    """Registers a function as the target ``name`` of :func:`jax.ffi.ffi_call` on CPUs, once.

    Args:
        name: Name of the target.
        function: ``(settings, arguments, results)``: the string attribute ``settings`` of the call, float32
            views of the arguments, and of the results, which it fills. They are valid until it returns. An
            exception ends the program with its message.
    """
    if name in _HANDLERS:
        return

    def handle(frame):
        # An exception must not leave the function: XLA cannot catch it.
        try:
            return _handle(frame.contents, function)
        except BaseException as error:
            return _error(frame.contents, f"{type(error).__name__}: {error}")

    handler = _HANDLERS[name] = _Handler(handle)
    jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(handler), platform="cpu")


def _handle(frame: Any, function: Callable) -> int | None:
    if frame.extension_start:
        extension = ctypes.cast(frame.extension_start, POINTER(_MetadataExtension)).contents
        if extension.base.type == _METADATA:
            _describe(frame, extension.metadata.contents)
            return None
    if frame.struct_size not in _FRAME_SIZES or frame.arguments.struct_size != ctypes.sizeof(_Buffers):
        return _error(
            frame, "this version of jaxlib has another foreign function interface; PFITRE_NETWORK=xla"
        )
    if frame.stage == _EXECUTE:
        # The only attribute.
        text = frame.attributes.items[0].contents
        settings = ctypes.string_at(text.start, text.size).decode()
        function(settings, _views(frame.arguments), _views(frame.results))
    return None


def _describe(frame: Any, metadata: Any) -> None:
    """Tells XLA that the handler is of its version, without traits and without a state."""
    if frame.api:
        version = frame.api.contents.version
        metadata.version.major, metadata.version.minor = version.major, version.minor
    else:
        metadata.version.major, metadata.version.minor = 0, 3
    metadata.traits = 0
    if metadata.struct_size >= ctypes.sizeof(_Metadata):
        metadata.state_type = 0


def _views(buffers: Any) -> list[np.ndarray]:
    return [_view(buffers.items[k].contents) for k in range(buffers.size)]


def _view(buffer: Any) -> np.ndarray:
    if buffer.dtype != _FLOAT32:
        raise TypeError(f"an array has XLA's type {buffer.dtype}; expected float32")
    shape = tuple(buffer.dims[: buffer.rank])
    if 0 in shape:
        return np.zeros(shape, np.float32)
    return np.frombuffer((ctypes.c_float * math.prod(shape)).from_address(buffer.data), np.float32).reshape(
        shape
    )


def _error(frame: Any, message: str) -> int:
    arguments = _ErrorArguments(ctypes.sizeof(_ErrorArguments), None, message.encode(), _INTERNAL)
    return frame.api.contents.create_error(ctypes.byref(arguments))
