"""Whether an object is the source of a neutrino."""
