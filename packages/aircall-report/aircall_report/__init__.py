"""Makes a single-file HTML report from the models in `dbt/`; it opens offline.

`python -m aircall_report --database warehouse.duckdb --output report.html`. The package does not need the tap: it reads
the marts (`marts`), counts (`figures`), draws (`drawing`), formats values (`wording`), and renders (`page`).
"""
