{# What models say often, in words that all warehouses know. #}

{# Whether there is a value, or an item of a list. #}
{% macro is_present(value) -%}
  {{ return("coalesce(" ~ aircall.typed(value, 'text') ~ ", '[]') not in ('', '[]', '{}')") }}
{%- endmacro %}

{% macro count_if(condition) -%}
  {{ return("count(case when " ~ condition ~ " then 1 end)") }}
{%- endmacro %}

{% macro sum_if(condition, value) -%}
  {{ return("coalesce(cast(sum(case when " ~ condition ~ " then " ~ value ~ " end) as bigint), 0)") }}
{%- endmacro %}

{# Whole seconds from one time to another. #}
{% macro seconds_between(begin, end) -%}
  {{ return("cast(floor(extract(epoch from (" ~ end ~ " - " ~ begin ~ "))) as bigint)") }}
{%- endmacro %}

{# The same, but 0 where the other time comes first. #}
{% macro seconds_after(begin, end) -%}
  {{ return("case when " ~ end ~ " < " ~ begin ~ " then 0 else " ~ aircall.seconds_between(begin, end) ~ " end") }}
{%- endmacro %}

{# A phone number in one spelling, to compare; null where the caller hides it. #}
{% macro phone_key(digits) -%}
  {{ return(
    "case when lower(" ~ digits ~ ") <> 'anonymous' then nullif(regexp_replace(" ~ digits
    ~ ", '[^0-9A-Za-z@:]', '', 'g'), '') end"
  ) }}
{%- endmacro %}

{# A first and a last name as one text; null where there is neither. #}
{% macro full_name(first, last) -%}
  {{ return("nullif(trim(concat(" ~ first ~ ", ' ', " ~ last ~ ")), '')") }}
{%- endmacro %}
