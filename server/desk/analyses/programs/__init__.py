"""Templates of analyses that ship: a folder each, see `server.desk.analyses.templates`."""
