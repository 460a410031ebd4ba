"""From kernels to machine code: numba reads the Python, LLVM optimises and writes a whole fit once.

Numba by itself optimises and writes a function again in every function that calls it, seven times for the
innermost. Here its modules are only joined; then everything but the fit is made internal, so that LLVM
inlines, drops what nobody calls, and writes what is left. What numba's arrays need of its runtime is the few
lines of ``_RUNTIME``, so that the code depends on the C library alone.

Only for a process that does nothing else: it changes numba. It has to be said before numba is imported which
level is wanted (`choose_level`).
"""

from __future__ import annotations

import os
import re
from typing import Any

from scanner.common import compiled
from scanner.machine.calling import symbol, types_of
from scanner.machine.levels import LEVELS

__all__ = ["BuildError", "choose_level", "compile_fit"]

_FOREIGN = re.compile(r"^declare [^@]*@\"?([\w.$]+)\"?\(", re.M)
_MAY_CALL = re.compile(r"(llvm\..*|malloc|free|mem(cpy|set|move)|exp|exp2|expm1|log|log10|log1p|log2|pow|sin"
                       r"|cos|sincos|tan|sqrt|hypot|floor|ceil|ldexp|fmod|round|trunc|nearbyint|rint)f?")
"""What every C library has."""
_RUNTIME = """
declare ptr @malloc(i64)
declare void @free(ptr)

; numba's MemInfo: count of references, destructor, its argument, data, size, allocator
define linkonce_odr ptr @NRT_MemInfo_alloc_aligned(i64 %size, i32 %align) {
  %wide = zext i32 %align to i64
  %room = add i64 %wide, 48
  %whole = add i64 %room, %size
  %info = call ptr @malloc(i64 %whole)
  %none = icmp eq ptr %info, null
  br i1 %none, label %end, label %fill
fill:
  call void @llvm.memset.p0.i64(ptr %info, i8 0, i64 48, i1 false)
  store i64 1, ptr %info
  %number = ptrtoint ptr %info to i64
  %last = add i64 %number, %room
  %less = sub i64 0, %wide
  %data = and i64 %last, %less
  %to = inttoptr i64 %data to ptr
  %at = getelementptr i8, ptr %info, i64 24
  store ptr %to, ptr %at
  %length = getelementptr i8, ptr %info, i64 32
  store i64 %size, ptr %length
  br label %end
end:
  ret ptr %info
}

define linkonce_odr ptr @NRT_MemInfo_alloc(i64 %size) {
  %info = call ptr @NRT_MemInfo_alloc_aligned(i64 %size, i32 16)
  ret ptr %info
}

define linkonce_odr void @NRT_MemInfo_call_dtor(ptr %info) {
  call void @free(ptr %info)
  ret void
}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""


class BuildError(Exception):
    """A fit cannot be compiled ahead; the text says what it needs that machine code alone has not."""


def choose_level(name: str) -> None:
    """Compile for a level; before numba is imported."""
    level = LEVELS[name]
    os.environ["NUMBA_CPU_NAME"], os.environ["NUMBA_CPU_FEATURES"] = level.name, level.features
    os.environ["NUMBA_OPT"] = "3"
    compiled.ALONE["cache"] = False


def compile_fit(name: str, function: compiled.Kernel, arguments: tuple[Any, ...]) -> bytes:
    """Machine code of a fit for arguments of such types. Raises BuildError."""
    import numba
    from numba.core import compiler_lock

    _only_join()
    dispatcher = function.dispatcher
    types = tuple(numba.typeof(argument) for argument in arguments)
    dispatcher.compile(types)
    result = dispatcher.overloads[types]
    library = result.library
    with compiler_lock.global_compiler_lock:
        library._ensure_finalized()
    return _written(library, result.fndesc.llvm_func_name, symbol(name), types_of(arguments))


def _only_join() -> None:
    """Leave out what numba does with every single function: optimise it, write it, wrap it for Python."""
    from numba.core import codegen, cpu

    def joined(library: Any) -> None:
        library._finalize_dynamic_globals()
        library._finalized = True

    def placeholder(_: Any, library: Any, descriptor: Any, environment: Any) -> Any:
        name = descriptor.qualname.rpartition(".")[2]
        return cpu._dynfunc.make_function(descriptor.lookup_module(), name, "", 1, environment, (library,))

    def nothing(*_: Any, **__: Any) -> None:
        pass

    for whole, name, instead in ((codegen.JITCodeLibrary, "_optimize_final_module", nothing),
                                 (codegen.JITCodeLibrary, "_finalize_final_module", joined),
                                 (cpu.CPUContext, "get_executable", placeholder),
                                 (cpu.CPUContext, "create_cpython_wrapper", nothing),
                                 (cpu.CPUContext, "create_cfunc_wrapper", nothing)):
        if not hasattr(whole, name):
            raise BuildError(f"this version of numba has no {whole.__name__}.{name}")
        setattr(whole, name, instead)


def _written(library: Any, function: str, exported: str, types: str) -> bytes:
    import llvmlite.binding as llvm
    from numba.core.codegen import CPUCodeLibrary

    module = library._final_module
    told = f'@{exported}_types = constant [{len(types) + 1} x i8] c"{types}\\00"\n'
    module.link_in(llvm.parse_assembly(_RUNTIME + told + _gate(module.get_function(function), exported)))
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and not each.name.startswith((exported, "llvm.")):
            each.linkage = "internal"
    CPUCodeLibrary._optimize_final_module(library)
    called = set(_FOREIGN.findall(str(module)))
    if foreign := sorted(name for name in called if not _MAY_CALL.fullmatch(name)):
        raise BuildError(f"{exported}: needs {', '.join(foreign)}")
    return bytes(library._codegen._tm.emit_object(module))


def _gate(function: Any, exported: str) -> str:
    """What takes the words apart and calls the fit with them; LLVM's assembly."""
    types = [str(argument.type) for argument in function.arguments][2:]
    lines = [f'declare i32 @"{function.name}"(ptr, ptr{"".join(", " + kind for kind in types)})',
             f"define i32 @{exported}(ptr %words) {{", "  %nothing = alloca ptr", "  %trouble = alloca ptr"]
    for place, kind in enumerate(types):
        lines += [f"  %p{place} = getelementptr i64, ptr %words, i64 {place}",
                  f"  %w{place} = load {kind}, ptr %p{place}"]
    given = "".join(f", {kind} %w{place}" for place, kind in enumerate(types))
    return "\n".join([*lines, f'  %status = call i32 @"{function.name}"(ptr %nothing, ptr %trouble{given})',
                      "  ret i32 %status", "}", ""])
