"""What tasks say to batch systems, and what those say of their machines.

In: attributes that a configuration names, GPUs that a driver or a batch system lists. Out: attributes that
can neither break a submit nor what we set ourselves, and the GPUs' least capability and memory.
"""

__all__ = ["classads", "devices"]
