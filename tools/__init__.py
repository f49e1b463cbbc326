"""Checks and generators for this repository; none of it ships in the package."""
