"""For tests of telemetry: a collector of spans, and the dashboard that ships."""
