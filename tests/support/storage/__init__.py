"""Storage for tests: a web server with bad days, and a real S3 server."""
