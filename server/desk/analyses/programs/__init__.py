"""Templates of analyses that ship, each a program and what it needs: `server.desk.analyses.templates`."""
