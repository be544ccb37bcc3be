"""A page that shows what the models of `dbt/` know: one file, which opens offline.

`python -m aircall_report --database warehouse.duckdb --output report.html`. It knows nothing of the tap: it reads
marts (`marts`), counts (`figures`), draws (`drawing`), says numbers in words (`wording`), and writes (`page`).
"""
