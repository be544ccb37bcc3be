"""Demos of the packages in this repository."""
