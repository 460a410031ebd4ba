"""Programs for those who work on this repository; none of it is installed."""
