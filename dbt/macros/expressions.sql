{# Expressions that models share, in SQL that all warehouses understand. #}

{# Cast an expression to a type. #}
{% macro typed(expression, type) -%}
  {{ return("cast(" ~ expression ~ " as " ~ aircall.sql_type(type) ~ ")") }}
{%- endmacro %}

{# Whether a type is a text type, such as `varchar(16)`. #}
{% macro is_text(data_type) -%}
  {{ return(data_type.split('(')[0] in ['text', 'varchar', 'character varying', 'string']) }}
{%- endmacro %}

{# Whether a text is not empty; if it is JSON, neither null nor an empty list or object. #}
{% macro is_present(text) -%}
  {{ return("coalesce(" ~ text ~ ", '[]') not in ('', '[]', '{}', 'null')") }}
{%- endmacro %}

{# Convert a text to another type; null if its format does not fit. #}
{% macro parsed(text, type) -%}
  {%- set form = aircall.form(type) -%}
  {%- set value = aircall.typed(text, type) -%}
  {{ return("case when " ~ aircall.matches(text, form) ~ " then " ~ value ~ " end" if form else value) }}
{%- endmacro %}

{# 1 for a text that `parsed` cannot convert, otherwise 0. #}
{% macro unreadable(text, type) -%}
  {{ return("case when coalesce(" ~ text ~ ", '') = '' or " ~ aircall.matches(text, aircall.form(type)) ~ " then 0 else 1 end") }}
{%- endmacro %}

{# The regular expression of the texts that every warehouse converts to a type in the same way; none if all are. #}
{% macro form(type) -%}
  {%- set year = '(19|20|21)[0-9][0-9]' -%}
  {%- set month_and_day = '((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))' -%}
  {%- set leap_day = '((19|20|21)(0[48]|[2468][048]|[13579][26])|2000)-02-29' -%}
  {%- set date = '(' ~ year ~ '-' ~ month_and_day ~ '|' ~ leap_day ~ ')' -%}
  {#- The tap sends UTC; DuckDB and Snowflake would drop any other offset. #}
  {%- set offset = '(Z|[+-]00(:00)?)' -%}
  {{ return({
    'integer': '-?([0-8]?[0-9]{1,18})',
    'number': '-?[0-9]{1,100}([.][0-9]{1,100})?([eE][+-]?[0-9]{1,2})?',
    'decimal': '-?[0-9]{1,12}([.][0-9]{1,20})?([eE]-[0-9]{1,2})?',
    'boolean': 'true|false|True|False',
    'date': date,
    'time': date ~ '[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?' ~ offset ~ '?',
  }.get(type)) }}
{%- endmacro %}

{% macro count_if(condition) -%}
  {{ return("count(case when " ~ condition ~ " then 1 end)") }}
{%- endmacro %}

{% macro sum_if(condition, value) -%}
  {{ return("coalesce(cast(sum(case when " ~ condition ~ " then " ~ value ~ " end) as bigint), 0)") }}
{%- endmacro %}

{# Whole seconds from one time to another; 0 if the second is earlier. #}
{% macro seconds_after(begin, end) -%}
  {{ return("case when " ~ end ~ " < " ~ begin ~ " then 0 else " ~ aircall.seconds_between(begin, end) ~ " end") }}
{%- endmacro %}

{# UNIX seconds of a time. #}
{% macro epoch(time) -%}
  {{ return(aircall.seconds_between(aircall.typed("'1970-01-01 00:00:00+00:00'", 'time'), time)) }}
{%- endmacro %}

{# Start of the quarter hour that contains a second, both in UNIX seconds. #}
{% macro quarter_of(second) -%}
  {{ return("(" ~ second ~ " - mod(" ~ second ~ ", 900))") }}
{%- endmacro %}

{# A phone number in a normalized form for comparison; null if the caller hides it. #}
{% macro phone_key(digits) -%}
  {{ return(
    "case when lower(" ~ digits ~ ") <> 'anonymous' then nullif(" ~ aircall.without(digits, '[^0-9A-Za-z@:]') ~ ", '') end"
  ) }}
{%- endmacro %}

{#
  The number in E.164, such as +33123456789; null if it is ambiguous.

  key: the result of `phone_key` for the digits.
  country: the country of the company's number; digits without a calling code belong to it.
#}
{% macro e164(digits, key, country) -%}
  {%- set code = '(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(2[1-689]|3[578]|42|5[09]|6[7-9]|8[0578]|9[679])[0-9])' -%}
  {#- In a few countries, a 0 after the calling code is part of the number; elsewhere, it is a national prefix. #}
  {%- set is_international = aircall.matches(key, '[1-9][0-9]{6,14}') ~ ' and (not ' ~ aircall.matches(key, code ~ '0[0-9]*')
    ~ ' or ' ~ aircall.matches(key, '(39|225|229|242|378)[0-9]*') ~ ')' -%}
  {%- set national = [
    ['US,CA', '[2-9][0-9][0-9][2-9][0-9]{6}', '+1', 1],
    ['US,CA', '1[2-9][0-9][0-9][2-9][0-9]{6}', '+', 1],
    ['FR', '0[1-9][0-9]{8}', '+33', 2],
    ['GB', '0[1-9][0-9]{9}', '+44', 2],
    ['DE', '0[1-9][0-9]{7,10}', '+49', 2],
    ['ES', '[6-9][0-9]{8}', '+34', 1],
    ['IT', '0[1-9][0-9]{6,9}|3[0-9]{8,9}', '+39', 1],
    ['NL', '0[1-9][0-9]{8}', '+31', 2],
    ['BE', '0[1-9][0-9]{7,8}', '+32', 2],
    ['CH', '0[1-9][0-9]{8}', '+41', 2],
    ['PT', '[29][0-9]{8}', '+351', 1],
    ['AU', '0[2-478][0-9]{8}', '+61', 2],
  ] -%}
  {%- set cases = [
    "when not " ~ aircall.matches(digits, '[+]?[0-9 ().-]+') ~ " then " ~ aircall.typed('null', 'text'),
    "when " ~ digits ~ " like '+%' then case when " ~ is_international ~ " then '+' || " ~ key ~ " end",
  ] -%}
  {%- for countries, form, prefix, first in national -%}
    {%- do cases.append("when " ~ country ~ " in ('" ~ countries | replace(',', "', '") ~ "') and " ~ aircall.matches(key, form)
      ~ " then '" ~ prefix ~ "' || substr(" ~ key ~ ", " ~ first ~ ")") -%}
  {%- endfor -%}
  {{ return("case " ~ cases | join(' ') ~ " end") }}
{%- endmacro %}

{# Concatenate texts; nulls count as empty. #}
{% macro concatenated(texts) -%}
  {%- set parts = [] -%}
  {%- for text in texts -%}
    {%- do parts.append(text if text.startswith("'") else "coalesce(" ~ text ~ ", '')") -%}
  {%- endfor -%}
  {{ return("(" ~ (parts | join(" || ")) ~ ")") }}
{%- endmacro %}

{# First and last name as one text; null if both are missing. #}
{% macro full_name(first, last) -%}
  {{ return("nullif(trim" ~ aircall.concatenated([first, "' '", last]) ~ ", '')") }}
{%- endmacro %}

{# The texts of a group, joined; null if there are none. #}
{% macro listed(text, separator, order) -%}
  {{ return("nullif(" ~ dbt.listagg(text, separator, "order by " ~ order) ~ ", '')") }}
{%- endmacro %}
