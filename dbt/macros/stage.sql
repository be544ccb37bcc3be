{# The relation of a stream; none where it was never loaded. #}
{% macro loaded(stream) -%}
  {%- set expected = source('aircall', stream) -%}
  {%- if execute -%}
    {{ return(adapter.get_relation(expected.database, expected.schema, expected.identifier)) }}
  {%- endif -%}
{%- endmacro %}

{# The names of a relation's columns. #}
{% macro column_names(relation) -%}
  {{ return(adapter.get_columns_in_relation(relation) | map(attribute='name') | list if relation else []) }}
{%- endmacro %}

{#
  The select statement of a staging model: it has the columns of the model whether or not the stream, or the field of
  it, was ever loaded. Rows that the loader marked as deleted are left out.

  fields: a list of [path, type, name]. The path is a column, or a column and a field of the object in it, such as
    `user.id`. The type is one of `sql_type`, or `present`: whether there is a value, or an item of a list.
  object_type: what `deleted_objects` calls the stream's objects; those that it lists are left out.
  items: a column with a list, each item of which makes a row. Paths that begin with `item.` are fields of it, and
    `item` is the item itself; `position` counts from 1.
#}
{% macro stage(stream, fields, object_type=none, items=none) -%}
  {%- set relation = aircall.loaded(stream) -%}
  {%- set deleted = aircall.loaded('deleted_objects') if object_type -%}
  {%- set columns = aircall.column_names(relation) -%}
  {%- set has_rows = relation and (items is none or items.split('.')[0] in columns) -%}
  select
  {%- for path, type, name in fields %}
    {%- set root = path.split('.')[0] %}
    {%- if not has_rows or (root not in columns and root not in ['item', 'position']) %}
    {{ 'false' if type == 'present' else aircall.typed('null', type) }} as {{ name }}
    {%- else %}
    {%- set value = aircall.value_at(path) %}
    {{ aircall.is_present(value) if type == 'present' else aircall.typed(value, type) }} as {{ name }}
    {%- endif %}
    {{- ',' if not loop.last }}
  {%- endfor %}
  {%- if has_rows %}
  from {{ relation }} as loaded
  {%- if items %}
  cross join {{ aircall.json_items(aircall.object_at(items)) }}
  {%- endif %}
  where true
  {%- if '_sdc_deleted_at' in columns %}
    and loaded._sdc_deleted_at is null
  {%- endif %}
  {%- if deleted %}
    and not exists (
      select 1 from {{ deleted }} as deleted
      where deleted.object_type = '{{ object_type }}'
        and {{ aircall.typed('deleted.object_id', 'text') }} = {{ aircall.typed('loaded.id', 'text') }}
    )
  {%- endif %}
  {%- else %}
  where false
  {%- endif %}
{%- endmacro %}

{# What lies at a path, as `stage` has them: the value as text, or a column as it is. #}
{% macro value_at(path) -%}
  {%- set steps = path.split('.') -%}
  {%- if path == 'item' -%}
    {{ return(aircall.json_scalar('items.item')) }}
  {%- elif steps | length == 1 -%}
    {{ return('items.position' if path == 'position' else 'loaded.' ~ adapter.quote(path)) }}
  {%- endif -%}
  {{ return(aircall.json_field(aircall.object_at(steps[:-1] | join('.')), steps[-1])) }}
{%- endmacro %}

{# The object or list at a path. #}
{% macro object_at(path) -%}
  {%- set steps = path.split('.') -%}
  {%- set object = namespace(sql='items.item' if steps[0] == 'item' else 'loaded.' ~ adapter.quote(steps[0])) -%}
  {%- for step in steps[1:] -%}
    {%- set object.sql = aircall.json_object(object.sql, step) -%}
  {%- endfor -%}
  {{ return(object.sql) }}
{%- endmacro %}
