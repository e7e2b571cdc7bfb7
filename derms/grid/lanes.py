"""Sixteen cases in one value: a SIMD type for numba, so that a kernel reads as if it solved one case.

`Lanes` is sixteen doubles that LLVM keeps in vector registers (two of AVX-512, four of AVX2, eight of SSE2). Arrays that
hold lanes have shape (n, 16), C order, float64. `load(a, i)` is row i; a one-dimensional array gives one number for all
lanes. Inside a kernel `+ - * /` work between lanes and numbers; multiply and add contract to one fused instruction.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

import derms.grid.kernel_cache  # noqa: F401

WIDTH = 16
_FLAGS = ("contract", "nsz", "arcp")
_I1, _I32 = ir.IntType(1), ir.IntType(32)
_DOUBLE = ir.DoubleType()
_VECTOR = ir.VectorType(_DOUBLE, WIDTH)


class LanesType(types.Type):
    """The numba type of sixteen doubles."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{WIDTH}")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


def _splat(builder: Any, scalar: Any) -> Any:
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(_I32, WIDTH), [0] * WIDTH))


def _row(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [builder.mul(index, ir.Constant(index.type, WIDTH))]), _VECTOR.as_pointer())


@intrinsic
def _load_row(typing_context, array, index):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        loaded = builder.load(_row(context, builder, signature.args[0], *arguments))
        loaded.align = 8
        return loaded

    return lanes(array, types.intp), generate


@intrinsic
def _store_row(typing_context, array, index, value):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        place = _row(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], place).align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


def load(array: Any, index: int) -> Any:
    """Return row `index` of an (n, 16) array as lanes, or the number at `index` of a one-dimensional array."""
    raise NotImplementedError("only inside compiled kernels")


@overload(load, inline="always")
def _load(array, index):  # type: ignore[no-untyped-def]
    if array.ndim == 1:
        return lambda array, index: array[index]
    return lambda array, index: _load_row(array, index)


def store(array: Any, index: int, value: Any) -> None:
    """Write lanes to row `index` of an (n, 16) array."""
    raise NotImplementedError("only inside compiled kernels")


@overload(store, inline="always")
def _store(array, index, value):  # type: ignore[no-untyped-def]
    return lambda array, index, value: _store_row(array, index, value)


def _binary(emit: Any) -> Any:
    """Return an intrinsic of two operands of which one may be a number."""

    @intrinsic
    def function(typing_context, left, right):  # type: ignore[no-untyped-def]
        def widen(context, builder, kind, value):  # type: ignore[no-untyped-def]
            if isinstance(kind, LanesType):
                return value
            return _splat(builder, context.cast(builder, value, kind, types.float64))

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            operands = [widen(context, builder, kind, value) for kind, value in zip(signature.args, arguments, strict=True)]
            return emit(builder, *operands)

        return lanes(left, right), generate

    return function


def _select(builder: Any, mask: Any, yes: Any, no: Any) -> Any:
    return builder.select(mask, yes, no)


def _minimum(builder: Any, left: Any, right: Any) -> Any:
    return _select(builder, builder.fcmp_ordered("<", left, right), left, right)


def _maximum(builder: Any, left: Any, right: Any) -> Any:
    return _select(builder, builder.fcmp_ordered(">", left, right), left, right)


_OPERATORS = {
    operator.add: _binary(lambda builder, left, right: builder.fadd(left, right, flags=_FLAGS)),
    operator.sub: _binary(lambda builder, left, right: builder.fsub(left, right, flags=_FLAGS)),
    operator.mul: _binary(lambda builder, left, right: builder.fmul(left, right, flags=_FLAGS)),
    operator.truediv: _binary(lambda builder, left, right: builder.fdiv(left, right, flags=_FLAGS)),
}
_minimum_lanes, _maximum_lanes = _binary(_minimum), _binary(_maximum)


def _has_lanes(*kinds: Any) -> bool:
    return any(isinstance(kind, LanesType) for kind in kinds)


def _register(symbol: Any, function: Any) -> None:
    @overload(symbol, inline="always")
    def implementation(left, right):  # type: ignore[no-untyped-def]
        if _has_lanes(left, right):
            return lambda left, right: function(left, right)
        return None


for _symbol, _function in _OPERATORS.items():
    _register(_symbol, _function)


def minimum(left: Any, right: Any) -> Any:
    """Return the lesser of each lane."""
    raise NotImplementedError("only inside compiled kernels")


def maximum(left: Any, right: Any) -> Any:
    """Return the greater of each lane."""
    raise NotImplementedError("only inside compiled kernels")


_register(minimum, _minimum_lanes)
_register(maximum, _maximum_lanes)


@overload(minimum, inline="always")
def _minimum_of_numbers(left, right):  # type: ignore[no-untyped-def]
    if not _has_lanes(left, right):
        return lambda left, right: left if left < right else right
    return None


@overload(maximum, inline="always")
def _maximum_of_numbers(left, right):  # type: ignore[no-untyped-def]
    if not _has_lanes(left, right):
        return lambda left, right: left if left > right else right
    return None


@intrinsic
def _square_root_lanes(typing_context, value):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(_VECTOR, [_VECTOR])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.sqrt.v{WIDTH}f64")
        return builder.call(function, arguments)

    return lanes(lanes), generate


def square_root(value: Any) -> Any:
    """Return the square root of each lane."""
    raise NotImplementedError("only inside compiled kernels")


@overload(square_root, inline="always")
def _square_root(value):  # type: ignore[no-untyped-def]
    if _has_lanes(value):
        return lambda value: _square_root_lanes(value)
    return lambda value: value**0.5


@intrinsic
def where_positive(typing_context, test, yes, no):  # type: ignore[no-untyped-def]
    """Return, lane by lane, `yes` where `test` > 0, else `no` (also where `test` is not a number)."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        zero = ir.Constant(_VECTOR, [0.0] * WIDTH)
        mask = builder.fcmp_ordered(">", arguments[0], zero)
        return _select(builder, mask, arguments[1], arguments[2])

    return lanes(lanes, lanes, lanes), generate


@intrinsic
def any_outside(typing_context, value, low, high):  # type: ignore[no-untyped-def]
    """Return whether any lane is not within [low, high]; a lane that is not a number is outside."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        value, low, high = arguments
        inside = builder.and_(
            builder.fcmp_ordered(">=", value, _splat(builder, low)),
            builder.fcmp_ordered("<=", value, _splat(builder, high)),
        )
        bits = builder.bitcast(inside, ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(WIDTH), (1 << WIDTH) - 1))

    return types.boolean(lanes, types.float64, types.float64), generate


@intrinsic
def any_positive(typing_context, value):  # type: ignore[no-untyped-def]
    """Return whether any lane is above 0, or is not a number."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        zero = ir.Constant(_VECTOR, [0.0] * WIDTH)
        bits = builder.bitcast(builder.fcmp_unordered(">", arguments[0], zero), ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(WIDTH), 0))

    return types.boolean(lanes), generate


@intrinsic
def spread(typing_context, number):  # type: ignore[no-untyped-def]
    """Return one number in all lanes."""

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _splat(builder, arguments[0])

    return lanes(types.float64), generate
