"""The documentation, and the generator of some of its pages."""
