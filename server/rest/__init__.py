"""REST: how a request comes in, who sends it, and how the answer goes out.

In: HTTP requests, tokens, settings. Out: the base `Handler`, `Route` and `@allow`, the `Context` that every
rule gets, health probes.
"""

__all__ = ["admission", "context", "handler", "health", "hearing", "links", "oidc", "outgoing", "public",
           "routing", "sites"]
