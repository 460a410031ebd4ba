"""What every wing of the scanner uses: errors, compiled kernels, fast arithmetic, loading of libraries.

In: nothing of ours. Out: `ScannerError` and its kinds, the decorators for numba, exp and log for kernels,
a lock.
"""

__all__ = ["compiled", "errors", "fastmath", "lanes", "loading"]
