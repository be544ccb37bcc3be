{#
  Everything that differs between warehouses. The rest of the package is SQL that DuckDB, PostgreSQL, Snowflake and
  BigQuery share. Macros that begin with `default__` are for DuckDB and for all warehouses without their own.

  `to_json` converts a nested column to JSON once, whatever the loader stored: JSON, a struct, a list or text. Four
  macros read that JSON: `json_field`, `json_object`, `json_item` and `json_items`.

  `data_type` is the type of a loaded column in lower case, as the adapter names it.
#}

{# The type for a name that the models use. Times are in UTC; their type has a time zone only in PostgreSQL. #}
{% macro sql_type(name) -%}
  {{ return(adapter.dispatch('sql_types', 'aircall')()[name]) }}
{%- endmacro %}

{% macro default__sql_types() -%}
  {{ return({
    'integer': 'bigint', 'number': 'double precision', 'decimal': 'numeric(18, 3)', 'text': 'varchar',
    'boolean': 'boolean', 'date': 'date', 'time': 'timestamp', 'json': 'json',
  }) }}
{%- endmacro %}

{% macro postgres__sql_types() -%}
  {{ return(dict(aircall.default__sql_types(), text='text', time='timestamptz', json='jsonb')) }}
{%- endmacro %}

{% macro snowflake__sql_types() -%}
  {{ return(dict(aircall.default__sql_types(), number='float', time='timestamp_ntz', json='variant')) }}
{%- endmacro %}

{% macro bigquery__sql_types() -%}
  {{ return(dict(aircall.default__sql_types(), number='float64', text='string')) }}
{%- endmacro %}

{# Convert a loaded column to a time. Without a time zone it is in UTC, as the tap sends it. #}
{% macro to_time(column, data_type) -%}
  {{ return(adapter.dispatch('to_time', 'aircall')(column, data_type)) }}
{%- endmacro %}

{% macro default__to_time(column, data_type) -%}
  {{ return(aircall.typed(column, 'time')) }}
{%- endmacro %}

{% macro duckdb__to_time(column, data_type) -%}
  {%- set has_zone = data_type == 'timestamp with time zone' -%}
  {{ return("(" ~ column ~ " at time zone 'UTC')" if has_zone else aircall.typed(column, 'time')) }}
{%- endmacro %}

{% macro postgres__to_time(column, data_type) -%}
  {%- set lacks_zone = data_type == 'timestamp without time zone' -%}
  {{ return("(" ~ column ~ " at time zone 'UTC')" if lacks_zone else aircall.typed(column, 'time')) }}
{%- endmacro %}

{% macro snowflake__to_time(column, data_type) -%}
  {%- set has_zone = data_type in ['timestamp_tz', 'timestamp_ltz'] -%}
  {{ return(aircall.typed("convert_timezone('UTC', " ~ column ~ ")" if has_zone else column, 'time')) }}
{%- endmacro %}

{# Convert a loaded column to JSON. #}
{% macro to_json(column, data_type) -%}
  {{ return(adapter.dispatch('to_json', 'aircall')(column, data_type)) }}
{%- endmacro %}

{% macro default__to_json(column, data_type) -%}
  {{ return(aircall.typed(column, 'json')) }}
{%- endmacro %}

{% macro postgres__to_json(column, data_type) -%}
  {{ return(aircall.typed(column, 'json') if aircall.is_text(data_type) else "to_jsonb(" ~ column ~ ")") }}
{%- endmacro %}

{% macro snowflake__to_json(column, data_type) -%}
  {{ return("parse_json(" ~ column ~ ")" if aircall.is_text(data_type) else column) }}
{%- endmacro %}

{% macro bigquery__to_json(column, data_type) -%}
  {{ return(
    "parse_json(" ~ column ~ ", wide_number_mode => 'round')" if aircall.is_text(data_type)
    else "to_json(" ~ column ~ ")"
  ) }}
{%- endmacro %}

{# JSON as text. #}
{% macro json_text(json) -%}
  {{ return(adapter.dispatch('json_text', 'aircall')(json)) }}
{%- endmacro %}

{% macro default__json_text(json) -%}
  {{ return(aircall.typed(json, 'text')) }}
{%- endmacro %}

{% macro snowflake__json_text(json) -%}
  {{ return("to_json(" ~ json ~ ")") }}
{%- endmacro %}

{% macro bigquery__json_text(json) -%}
  {{ return("to_json_string(" ~ json ~ ")") }}
{%- endmacro %}

{# A scalar field of an object, as text. #}
{% macro json_field(object, key) -%}
  {{ return(adapter.dispatch('json_field', 'aircall')(object, key)) }}
{%- endmacro %}

{% macro default__json_field(object, key) -%}
  {{ return("(" ~ object ~ " ->> '" ~ key ~ "')") }}
{%- endmacro %}

{% macro snowflake__json_field(object, key) -%}
  {{ return("cast(" ~ object ~ "['" ~ key ~ "'] as varchar)") }}
{%- endmacro %}

{% macro bigquery__json_field(object, key) -%}
  {{ return("json_value(" ~ object ~ ", '$." ~ key ~ "')") }}
{%- endmacro %}

{# An object or list in an object, as JSON. #}
{% macro json_object(object, key) -%}
  {{ return(adapter.dispatch('json_object', 'aircall')(object, key)) }}
{%- endmacro %}

{% macro default__json_object(object, key) -%}
  {{ return("(" ~ object ~ " -> '" ~ key ~ "')") }}
{%- endmacro %}

{% macro snowflake__json_object(object, key) -%}
  {{ return(object ~ "['" ~ key ~ "']") }}
{%- endmacro %}

{% macro bigquery__json_object(object, key) -%}
  {{ return("json_query(" ~ object ~ ", '$." ~ key ~ "')") }}
{%- endmacro %}

{# A scalar item of a list, as text. #}
{% macro json_item(item) -%}
  {{ return(adapter.dispatch('json_item', 'aircall')(item)) }}
{%- endmacro %}

{% macro default__json_item(item) -%}
  {{ return("(" ~ item ~ " ->> '$')") }}
{%- endmacro %}

{% macro postgres__json_item(item) -%}
  {{ return("(" ~ item ~ " #>> '{}')") }}
{%- endmacro %}

{% macro snowflake__json_item(item) -%}
  {{ return("cast(" ~ item ~ " as varchar)") }}
{%- endmacro %}

{% macro bigquery__json_item(item) -%}
  {{ return("json_value(" ~ item ~ ")") }}
{%- endmacro %}

{# A query with a row per item of each list in `loaded`: the row, the `item`, and its `position` from 1. #}
{% macro json_items(list) -%}
  {{ return(adapter.dispatch('json_items', 'aircall')(list)) }}
{%- endmacro %}

{% macro default__json_items(list) -%}
  {{ return(
    "select loaded.*, items.item, items.position from loaded cross join unnest(cast(case when json_type(" ~ list
    ~ ") = 'ARRAY' then " ~ list ~ " end as json[])) with ordinality as items(item, position)"
  ) }}
{%- endmacro %}

{% macro postgres__json_items(list) -%}
  {{ return(
    "select loaded.*, items.item, items.position from loaded cross join jsonb_array_elements(case when jsonb_typeof("
    ~ list ~ ") = 'array' then " ~ list ~ " end) with ordinality as items(item, position)"
  ) }}
{%- endmacro %}

{% macro snowflake__json_items(list) -%}
  {{ return(
    "select loaded.*, items.value as item, items.index + 1 as position from loaded cross join lateral flatten(input => "
    ~ "case when is_array(" ~ list ~ ") then " ~ list ~ " end) as items"
  ) }}
{%- endmacro %}

{% macro bigquery__json_items(list) -%}
  {{ return(
    "select loaded.*, item, offset + 1 as position from loaded cross join unnest(json_query_array(" ~ list
    ~ ")) as item with offset as offset"
  ) }}
{%- endmacro %}

{# A time in local time of a time zone. #}
{% macro local_time(time, zone=none) -%}
  {{ return(adapter.dispatch('local_time', 'aircall')(time, zone or aircall.time_zone())) }}
{%- endmacro %}

{% macro default__local_time(time, zone) -%}
  {{ return("(" ~ time ~ " at time zone 'UTC' at time zone '" ~ zone ~ "')") }}
{%- endmacro %}

{# PostgreSQL takes four names as abbreviations of a fixed offset. #}
{% macro postgres__local_time(time, zone) -%}
  {%- set links = {'CET': 'Europe/Brussels', 'EET': 'Europe/Athens', 'MET': 'Europe/Brussels', 'WET': 'Europe/Lisbon'} -%}
  {{ return("(" ~ time ~ " at time zone '" ~ links.get(zone, zone) ~ "')") }}
{%- endmacro %}

{% macro snowflake__local_time(time, zone) -%}
  {{ return("convert_timezone('UTC', '" ~ zone ~ "', " ~ time ~ ")") }}
{%- endmacro %}

{% macro bigquery__local_time(time, zone) -%}
  {{ return("datetime(" ~ time ~ ", '" ~ zone ~ "')") }}
{%- endmacro %}

{# The day of the week of a local time, 1 for Monday. #}
{% macro day_of_week(time) -%}
  {{ return(adapter.dispatch('day_of_week', 'aircall')(time)) }}
{%- endmacro %}

{% macro default__day_of_week(time) -%}
  {{ return("extract(isodow from " ~ time ~ ")") }}
{%- endmacro %}

{% macro snowflake__day_of_week(time) -%}
  {{ return("dayofweekiso(" ~ time ~ ")") }}
{%- endmacro %}

{% macro bigquery__day_of_week(time) -%}
  {{ return("mod(extract(dayofweek from " ~ time ~ ") + 5, 7) + 1") }}
{%- endmacro %}

{# Whole seconds from one time to another. #}
{% macro seconds_between(begin, end) -%}
  {{ return(aircall.typed("floor(" ~ adapter.dispatch('seconds', 'aircall')(begin, end) ~ ")", 'integer')) }}
{%- endmacro %}

{% macro default__seconds(begin, end) -%}
  {{ return("extract(epoch from " ~ end ~ " - " ~ begin ~ ")") }}
{%- endmacro %}

{% macro snowflake__seconds(begin, end) -%}
  {{ return("datediff('microsecond', " ~ begin ~ ", " ~ end ~ ") / 1000000") }}
{%- endmacro %}

{% macro bigquery__seconds(begin, end) -%}
  {{ return("timestamp_diff(" ~ end ~ ", " ~ begin ~ ", microsecond) / 1000000") }}
{%- endmacro %}

{# The time of UNIX seconds. #}
{% macro time_at(seconds) -%}
  {{ return(adapter.dispatch('time_at', 'aircall')(seconds)) }}
{%- endmacro %}

{% macro default__time_at(seconds) -%}
  {{ return("make_timestamp(" ~ aircall.typed("(" ~ seconds ~ ") * 1000000", 'integer') ~ ")") }}
{%- endmacro %}

{% macro postgres__time_at(seconds) -%}
  {{ return("to_timestamp(" ~ seconds ~ ")") }}
{%- endmacro %}

{% macro snowflake__time_at(seconds) -%}
  {{ return("to_timestamp_ntz(" ~ seconds ~ ")") }}
{%- endmacro %}

{% macro bigquery__time_at(seconds) -%}
  {{ return("timestamp_seconds(" ~ seconds ~ ")") }}
{%- endmacro %}

{# Whether a regular expression matches the whole text. #}
{% macro matches(text, form) -%}
  {{ return(adapter.dispatch('matches', 'aircall')(text, "'^(" ~ form ~ ")$'")) }}
{%- endmacro %}

{% macro default__matches(text, form) -%}
  {{ return("regexp_matches(" ~ text ~ ", " ~ form ~ ")") }}
{%- endmacro %}

{% macro postgres__matches(text, form) -%}
  {{ return("(" ~ text ~ " ~ " ~ form ~ ")") }}
{%- endmacro %}

{% macro snowflake__matches(text, form) -%}
  {{ return("regexp_like(" ~ text ~ ", " ~ form ~ ")") }}
{%- endmacro %}

{% macro bigquery__matches(text, form) -%}
  {{ return("regexp_contains(" ~ text ~ ", " ~ form ~ ")") }}
{%- endmacro %}

{# A text without the matches of a pattern. #}
{% macro without(text, pattern) -%}
  {{ return(adapter.dispatch('without', 'aircall')(text, pattern)) }}
{%- endmacro %}

{% macro default__without(text, pattern) -%}
  {{ return("regexp_replace(" ~ text ~ ", '" ~ pattern ~ "', '', 'g')") }}
{%- endmacro %}

{% macro snowflake__without(text, pattern) -%}
  {{ return("regexp_replace(" ~ text ~ ", '" ~ pattern ~ "', '')") }}
{%- endmacro %}

{% macro bigquery__without(text, pattern) -%}
  {{ return("regexp_replace(" ~ text ~ ", '" ~ pattern ~ "', '')") }}
{%- endmacro %}

{# A line break, as a literal on one line. #}
{% macro line_break() -%}
  {{ return(adapter.dispatch('line_break', 'aircall')()) }}
{%- endmacro %}

{% macro default__line_break() -%}
  {{ return("e'\\n'") }}
{%- endmacro %}

{% macro snowflake__line_break() -%}
  {{ return("'\\n'") }}
{%- endmacro %}

{% macro bigquery__line_break() -%}
  {{ return("'\\n'") }}
{%- endmacro %}

{# Whether the loader removes or marks old rows at ACTIVATE_VERSION, after a list was read whole. #}
{% macro loader_deletes() -%}
  {{ return(var('aircall_loader_deletes', adapter.dispatch('loader_deletes', 'aircall')())) }}
{%- endmacro %}

{% macro default__loader_deletes() -%}
  {{ return(true) }}
{%- endmacro %}

{% macro bigquery__loader_deletes() -%}
  {{ return(false) }}
{%- endmacro %}
