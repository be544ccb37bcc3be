{# Checks before a model is built, so that a bad load never replaces a good mart. #}

{# Validate all settings once, when dbt parses the project. #}
{% macro check_settings() -%}
  {%- do aircall.time_zone() -%}
  {%- do aircall.sla_seconds() -%}
  {%- do aircall.callback_hours() -%}
  {%- do aircall.business_hours() -%}
  {%- do aircall.stale_after_hours() -%}
  {%- do aircall.allow_empty() -%}
  {%- if project_name == 'aircall' -%}
    {%- do aircall.check_name('DBT_AIRCALL_SCHEMA', target.schema) -%}
  {%- endif -%}
{%- endmacro %}

{# Validate a name, since dbt quotes names without escaping them. #}
{% macro check_name(variable, value) -%}
  {%- set is_right = modules.re.fullmatch('[\\w$ .:-]+', value) -%}
  {{ return(aircall.must(variable, value, is_right, 'a name of letters, digits, spaces and _ $ . : -')) }}
{%- endmacro %}

{# Check that the table of calls exists; it is missing in a wrong schema or warehouse. #}
{% macro check_source() -%}
  {%- if execute and flags.WHICH in ['build', 'run'] and not aircall.loaded('calls') -%}
    {%- set expected = graph.sources['source.aircall.aircall.calls'] -%}
    {{ exceptions.raise_compiler_error(
      'There is no table ' ~ expected.schema ~ '.' ~ expected.identifier ~ ' in ' ~ expected.database
      ~ ': load the stream calls there, or set DBT_AIRCALL_SOURCE_SCHEMA (aircall_schema) to where it was loaded.'
    ) }}
  {%- endif -%}
{%- endmacro %}

{# Check that a mart with rows is not replaced by an empty one. #}
{% macro check_rows() -%}
  {%- if execute and not aircall.allow_empty() -%}
    {%- set mart = adapter.get_relation(this.database, this.schema, this.identifier) -%}
    {%- if mart and aircall.has_rows(mart) and not aircall.has_rows('(' ~ model.compiled_code ~ ')') -%}
      {{ exceptions.raise_compiler_error(
        this.identifier ~ ' has rows and would become empty: check the last load, or set DBT_AIRCALL_ALLOW_EMPTY '
        ~ '(aircall_allow_empty) to true for one build.'
      ) }}
    {%- endif -%}
  {%- endif -%}
{%- endmacro %}

{% macro has_rows(query) -%}
  {{ return(run_query('select 1 as found from ' ~ query ~ ' as source_rows limit 1') | length > 0) }}
{%- endmacro %}
