{#
  All that differs between warehouses: how the loaders store times and nested fields, and how these are read. DuckDB and
  PostgreSQL are tested. Snowflake and BigQuery were not tried; each would need its own form of the macros below.
#}

{# A type, by the name that the models use for it. #}
{% macro sql_type(name) -%}
  {{ return(adapter.dispatch('sql_type', 'aircall')(name)) }}
{%- endmacro %}

{% macro default__sql_type(name) -%}
  {{ return({
    'integer': 'bigint', 'number': 'double precision', 'text': 'text', 'boolean': 'boolean', 'date': 'date',
    'time': 'timestamp', 'json': 'json', 'decimal': 'numeric(18, 3)',
  }[name]) }}
{%- endmacro %}

{% macro postgres__sql_type(name) -%}
  {{ return({'time': 'timestamptz', 'json': 'jsonb'}.get(name) or aircall.default__sql_type(name)) }}
{%- endmacro %}

{# An expression as such a type. #}
{% macro typed(expression, type) -%}
  {{ return(adapter.dispatch('typed', 'aircall')(expression, type)) }}
{%- endmacro %}

{% macro default__typed(expression, type) -%}
  {{ return("cast(" ~ expression ~ " as " ~ aircall.sql_type(type) ~ ")") }}
{%- endmacro %}

{% macro postgres__typed(expression, type) -%}
  {# The plain target-postgres makes jsonb[] of lists. #}
  {%- if type == 'json' and expression != 'null' -%}
    {{ return("to_jsonb(" ~ expression ~ ")") }}
  {%- endif -%}
  {{ return(aircall.default__typed(expression, type)) }}
{%- endmacro %}

{# A field of an object, as text. #}
{% macro json_field(object, key) -%}
  {{ return(adapter.dispatch('json_field', 'aircall')(object, key)) }}
{%- endmacro %}

{% macro default__json_field(object, key) -%}
  {{ return("(" ~ object ~ " ->> '" ~ key ~ "')") }}
{%- endmacro %}

{# An item of a list as text, where it is no object. #}
{% macro json_scalar(item) -%}
  {{ return(adapter.dispatch('json_scalar', 'aircall')(item)) }}
{%- endmacro %}

{% macro default__json_scalar(item) -%}
  {{ return("(" ~ item ~ " ->> '$')") }}
{%- endmacro %}

{% macro postgres__json_scalar(item) -%}
  {{ return("(" ~ item ~ " #>> '{}')") }}
{%- endmacro %}

{# An object within an object. #}
{% macro json_object(object, key) -%}
  {{ return(adapter.dispatch('json_object', 'aircall')(object, key)) }}
{%- endmacro %}

{% macro default__json_object(object, key) -%}
  {{ return("(" ~ object ~ " -> '" ~ key ~ "')") }}
{%- endmacro %}

{# What to put after FROM, so that each item of a list makes a row of `items`, with `item`, and `position` from 1. #}
{% macro json_items(list) -%}
  {{ return(adapter.dispatch('json_items', 'aircall')(list)) }}
{%- endmacro %}

{% macro default__json_items(list) -%}
  {{ return(
    "unnest(cast(case when json_type(" ~ list ~ ") = 'ARRAY' then " ~ list ~ " end as json[])) with ordinality "
    ~ "as items(item, position)"
  ) }}
{%- endmacro %}

{% macro postgres__json_items(list) -%}
  {{ return(
    "jsonb_array_elements(case when jsonb_typeof(to_jsonb(" ~ list ~ ")) = 'array' then to_jsonb(" ~ list ~ ") end) "
    ~ "with ordinality as items(item, position)"
  ) }}
{%- endmacro %}

{# A time by the clock of a time zone. Times are stored in UTC: with their zone in PostgreSQL, without in DuckDB. #}
{% macro local_time(time, zone=none) -%}
  {{ return(adapter.dispatch('local_time', 'aircall')(time, zone or aircall.time_zone())) }}
{%- endmacro %}

{% macro default__local_time(time, zone) -%}
  {{ return("(" ~ time ~ " at time zone 'UTC' at time zone '" ~ zone ~ "')") }}
{%- endmacro %}

{% macro postgres__local_time(time, zone) -%}
  {{ return("(" ~ time ~ " at time zone '" ~ zone ~ "')") }}
{%- endmacro %}
