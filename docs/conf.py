"""Configuration of Sphinx for `make docs`: strict, without network access."""

project = "tap-aircall"
html_title = "tap-aircall"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
exclude_patterns = ["site"]
html_theme = "furo"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
myst_fence_as_directive = ["mermaid"]
