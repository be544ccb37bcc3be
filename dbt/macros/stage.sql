{#
  The relation of a stream; none if it was never loaded. `source` is called only for dbt's graph: in a project that has
  a source of the same name, it would return that one.
#}
{% macro loaded(stream) -%}
  {%- do source('aircall', stream) -%}
  {%- if execute -%}
    {%- set expected = graph.sources['source.aircall.aircall.' ~ stream] -%}
    {%- do aircall.check_name('DBT_AIRCALL_SOURCE_SCHEMA (aircall_schema)', expected.schema) -%}
    {%- do aircall.check_name('aircall_' ~ stream ~ '_identifier', expected.identifier) -%}
    {%- do aircall.check_name('aircall_database', expected.database) -%}
    {{ return(adapter.get_relation(expected.database, expected.schema, expected.identifier)) }}
  {%- endif -%}
{%- endmacro %}

{# A query for the time of the last load of any stream, if the loader records it. #}
{% macro last_load() -%}
  {%- set loads = ['select ' ~ aircall.nothing('time') ~ ' as loaded_at'] -%}
  {%- for source in graph.sources.values() if source.package_name == 'aircall' -%}
    {%- set relation = aircall.loaded(source.name) -%}
    {%- set column = aircall.loaded_columns(relation).get('_sdc_batched_at') -%}
    {%- if column -%}
      {%- do loads.append('select max(' ~ aircall.time_in(column) ~ ') from ' ~ relation ~ ' as source') -%}
    {%- endif -%}
  {%- endfor -%}
  select max(loaded_at) as loaded_at from ({{ loads | join(' union all ') }}) as loads
{%- endmacro %}

{# The columns of a relation by name in lower case, since warehouses differ in case. #}
{% macro loaded_columns(relation) -%}
  {%- set columns = {} -%}
  {%- for column in (adapter.get_columns_in_relation(relation) if relation else []) -%}
    {%- do columns.update({column.name | lower: {
      'name': column.name, 'sql': adapter.quote(column.name), 'type': column.data_type | lower,
    }}) -%}
  {%- endfor -%}
  {{ return(columns) }}
{%- endmacro %}

{#
  The column that holds a path such as `user.id`, and the remaining steps of the path: `user`, or `user__id` if the
  loader flattens objects. None if there is no such column.
#}
{% macro find_column(columns, path) -%}
  {%- set steps = path.split('.') -%}
  {%- for length in range(steps | length, 0, -1) -%}
    {%- set column = columns.get(steps[:length] | join('__')) -%}
    {%- if column -%}
      {{ return({'column': column, 'steps': steps[length:]}) }}
    {%- endif -%}
  {%- endfor -%}
{%- endmacro %}

{#
  The select statement of a staging model. It has all columns of the model, even if the stream or a field was never
  loaded. It leaves out rows that the loader marked as deleted, or, if it does not mark any, rows that the last reading
  of a whole list lacked. A table without any of the fields is an error. A text or a JSON value that cannot be converted
  to the type of its column becomes null, and counts in `unreadable_values`.

  fields: a list of [path, type, name]. The path is a column, or a column and a field of the object in it, such as
    `user.id`. The type is one of `sql_type`, or `present`: whether there is a value, or an item of a list.
  object_type: the type of the stream's objects in `deleted_objects`; objects in it are left out, unless Aircall listed
    them again later.
  items: a path to a list, of which each item becomes a row. Paths that begin with `item.` are fields of the item, and
    `item` is the item itself; `position` counts from 1.
#}
{% macro stage(stream, fields, object_type=none, items=none) -%}
  {%- set relation = aircall.loaded(stream) -%}
  {%- set columns = aircall.loaded_columns(relation) -%}
  {%- set deleted = ref('aircall', 'stg_aircall__deleted_objects') if object_type -%}
  {%- set list = aircall.find_column(columns, items) if items -%}
  {%- set found = namespace(inner={}, outer=[], unreadable=[], any=false) -%}
  {%- set list_sql = aircall.field(found.inner, list, 'json') if items -%}
  {%- for path, type, name in fields -%}
    {%- set of_item = items and path.split('.')[0] in ['item', 'position'] -%}
    {%- set place = aircall.find_column(columns, path) if not of_item -%}
    {%- if place -%}{%- set found.any = true -%}{%- endif -%}
    {%- set is_parsed = path != 'position' if of_item else place and (place.steps or aircall.is_text(place.column.type)) -%}
    {%- if is_parsed and aircall.form(type) -%}
      {%- set text = aircall.json_at('item', path.split('.')[1:], 'text') if of_item else aircall.field(found.inner, place, 'text') -%}
      {%- do found.unreadable.append(aircall.unreadable(text, type)) -%}
    {%- endif -%}
    {%- do found.outer.append(
      aircall.field(found.inner, place, type) if not of_item else
      aircall.json_at('item', path.split('.')[1:], type) if path != 'position' else aircall.typed(path, type)
    ) -%}
  {%- endfor -%}
  {%- if relation and not (found.any or list) -%}
    {%- do exceptions.raise_compiler_error(
      relation ~ " has none of the columns of " ~ stream ~ ", such as " ~ fields[0][0] ~ ". Its columns are: "
      ~ (columns.values() | map(attribute='name') | join(', '))
    ) -%}
  {%- endif -%}
  {%- set has_rows = relation and (list or not items) -%}
  {%- if has_rows -%}
  with loaded as (

    select
      {%- for alias, sql in found.inner.items() %}
      {{ sql }} as {{ alias }}{{ ',' if not loop.last }}
      {%- endfor %}
    from {{ relation }} as source
    where true
    {%- if '_sdc_deleted_at' in columns %}
      {%- set deleted_at = columns['_sdc_deleted_at'] %}
      and {{ aircall.known('source.' ~ deleted_at.sql, deleted_at) }} is null
    {%- endif %}
    {%- if '_sdc_table_version' in columns and not aircall.loader_deletes() %}
      {%- set version = aircall.typed('source.' ~ columns['_sdc_table_version'].sql, 'text') %}
      and coalesce({{ version }}, '') = (
        select max(coalesce({{ version | replace('source.', 'newest.') }}, '')) from {{ relation }} as newest
      )
    {%- endif %}
    {%- if object_type and 'id' in columns %}
      and not exists (
        select 1 from {{ deleted }} as deleted
        where deleted.object_type = '{{ object_type }}'
          and deleted.object_id = {{ aircall.typed('source.' ~ columns['id'].sql, 'text') }}
          {%- set read = columns.get('_sdc_extracted_at') %}
          {%- if read %}
          -- Five minutes, since clocks differ, and an object listed before its deletion may be read a moment later.
          and coalesce({{ aircall.seconds_between('deleted.deleted_at', aircall.time_in(read)) }} < 300, true)
          {%- endif %}
      )
    {%- endif %}

  )
  {%- if items %},

  listed as (

    {{ aircall.json_items(list_sql) }}

  )
  {%- endif %}

  {% endif -%}
  select
  {%- for path, type, name in fields %}
    {{ found.outer[loop.index0] if has_rows else aircall.nothing(type) }} as {{ name }},
  {%- endfor %}
    {{ (found.unreadable | join(' + ') if has_rows) or '0' }} as unreadable_values
  {%- if has_rows %}
  from {{ 'listed' if items else 'loaded' }}
  {%- else %}
  from (select 1 as one) as nothing
  where 1 = 0
  {%- endif %}
{%- endmacro %}

{# A field that was never loaded. #}
{% macro nothing(type) -%}
  {{ return('false' if type == 'present' else aircall.typed('null', type)) }}
{%- endmacro %}

{# Convert the field at a place from `find_column` to a type. The columns that it needs are added to `inner`. #}
{% macro field(inner, place, type) -%}
  {%- if not place -%}
    {{ return(aircall.nothing(type)) }}
  {%- endif -%}
  {%- set is_text = aircall.is_text(place.column.type) -%}
  {%- if place.steps or type == 'json' or (type == 'present' and not is_text) -%}
    {{ return(aircall.json_at(aircall.nested(inner, place.column), place.steps, type)) }}
  {%- endif -%}
  {%- set alias = 'raw_' ~ (place.column.name | lower) -%}
  {%- do inner.update({alias: 'source.' ~ place.column.sql}) -%}
  {%- if type == 'present' -%}
    {{ return(aircall.is_present(alias)) }}
  {%- endif -%}
  {%- set value = alias if type == 'text' else aircall.known(alias, place.column) -%}
  {%- if is_text -%}
    {{ return(aircall.parsed(value, type)) }}
  {%- endif -%}
  {{ return(aircall.to_time(value, place.column.type) if type == 'time' else aircall.typed(value, type)) }}
{%- endmacro %}

{# The time in a column of the loaded table; null if a text is not a time. #}
{% macro time_in(column) -%}
  {%- set value = aircall.known('source.' ~ column.sql, column) -%}
  {{ return(aircall.parsed(value, 'time') if aircall.is_text(column.type) else aircall.to_time(value, column.type)) }}
{%- endmacro %}

{# The value of a column; null for an empty text, which a loader that stores everything as text may use for null. #}
{% macro known(value, column) -%}
  {{ return("nullif(" ~ value ~ ", '')" if aircall.is_text(column.type) else value) }}
{%- endmacro %}

{# Add a column as JSON to `inner`, and return its name. #}
{% macro nested(inner, column) -%}
  {%- set alias = 'json_' ~ (column.name | lower) -%}
  {%- do inner.update({alias: aircall.to_json(aircall.known('source.' ~ column.sql, column), column.type)}) -%}
  {{ return(alias) }}
{%- endmacro %}

{# Convert the value at a path in JSON to a type. #}
{% macro json_at(json, steps, type) -%}
  {%- if type == 'json' or (type == 'present' and not steps) -%}
    {%- set sql = namespace(json=json) -%}
    {%- for step in steps -%}
      {%- set sql.json = aircall.json_object(sql.json, step) -%}
    {%- endfor -%}
    {{ return(sql.json if type == 'json' else aircall.is_present(aircall.json_text(sql.json))) }}
  {%- endif -%}
  {%- set object = aircall.json_at(json, steps[:-1], 'json') -%}
  {%- set text = aircall.json_field(object, steps[-1]) if steps else aircall.json_item(json) -%}
  {{ return(aircall.is_present(text) if type == 'present' else aircall.parsed(text, type)) }}
{%- endmacro %}
