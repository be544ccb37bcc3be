{# What models say often, in words that all warehouses know. #}

{# An expression as a type. #}
{% macro typed(expression, type) -%}
  {{ return("cast(" ~ expression ~ " as " ~ aircall.sql_type(type) ~ ")") }}
{%- endmacro %}

{# Whether a type is one of text, such as `varchar(16)`. #}
{% macro is_text(data_type) -%}
  {{ return(data_type.split('(')[0] in ['text', 'varchar', 'character varying', 'string']) }}
{%- endmacro %}

{# Whether a text has a value, or an item of a list that it spells. #}
{% macro is_present(text) -%}
  {{ return("coalesce(" ~ text ~ ", '[]') not in ('', '[]', '{}', 'null')") }}
{%- endmacro %}

{% macro count_if(condition) -%}
  {{ return("count(case when " ~ condition ~ " then 1 end)") }}
{%- endmacro %}

{% macro sum_if(condition, value) -%}
  {{ return("coalesce(cast(sum(case when " ~ condition ~ " then " ~ value ~ " end) as bigint), 0)") }}
{%- endmacro %}

{# Whole seconds from one time to another, but 0 where the other comes first. #}
{% macro seconds_after(begin, end) -%}
  {{ return("case when " ~ end ~ " < " ~ begin ~ " then 0 else " ~ aircall.seconds_between(begin, end) ~ " end") }}
{%- endmacro %}

{# A phone number in one spelling, to compare; null where the caller hides it. #}
{% macro phone_key(digits) -%}
  {{ return(
    "case when lower(" ~ digits ~ ") <> 'anonymous' then nullif(" ~ aircall.without(digits, '[^0-9A-Za-z@:]') ~ ", '') end"
  ) }}
{%- endmacro %}

{# Texts one after another, where a null counts as none. #}
{% macro concatenated(texts) -%}
  {%- set parts = [] -%}
  {%- for text in texts -%}
    {%- do parts.append(text if text.startswith("'") else "coalesce(" ~ text ~ ", '')") -%}
  {%- endfor -%}
  {{ return("(" ~ (parts | join(" || ")) ~ ")") }}
{%- endmacro %}

{# A first and a last name as one text; null where there is neither. #}
{% macro full_name(first, last) -%}
  {{ return("nullif(trim" ~ aircall.concatenated([first, "' '", last]) ~ ", '')") }}
{%- endmacro %}

{# The texts of a group as one; null where there are none. #}
{% macro listed(text, separator, order) -%}
  {{ return("nullif(" ~ dbt.listagg(text, separator, "order by " ~ order) ~ ", '')") }}
{%- endmacro %}
