{#
  Settings: variables of the dbt project, or environment variables, which Meltano passes on. Each is validated before it
  is used in SQL.

  aircall_time_zone: time zone of days and hours; an IANA name.
  aircall_sla_seconds: limit of seconds to answer an inbound call.
  aircall_callback_hours: hours after a missed call in which an outbound call counts as a callback.
  aircall_business_hours: opening hours in that time zone by day of the week, 1 for Monday, such as
    {"1": ["09:00", "18:00"]}. Without them, only the information in each call counts.
  aircall_stale_after_hours: hours without a load after which a test fails; 0 for never.
  aircall_allow_empty: whether a mart with rows may be replaced by one without.

  aircall_loader_deletes: whether the loader removes or marks deleted objects. By default true, except for BigQuery.

  The location of the tap's tables is configured in models/staging/sources.yml.
#}

{% macro time_zone() -%}
  {%- set zone = aircall.setting('time_zone', 'UTC') | string -%}
  {{ return(aircall.must(aircall.names_of('time_zone'), zone, zone in modules.pytz.all_timezones_set, 'an IANA name such as Europe/Paris')) }}
{%- endmacro %}

{% macro sla_seconds() -%}
  {{ return(aircall.whole_number('sla_seconds', '20')) }}
{%- endmacro %}

{% macro callback_hours() -%}
  {{ return(aircall.whole_number('callback_hours', '168')) }}
{%- endmacro %}

{% macro stale_after_hours() -%}
  {{ return(aircall.whole_number('stale_after_hours', '48')) }}
{%- endmacro %}

{% macro allow_empty() -%}
  {%- set value = aircall.setting('allow_empty', 'false') | string | lower -%}
  {{ return(aircall.must(aircall.names_of('allow_empty'), value, value in ['true', 'false'], 'true or false') == 'true') }}
{%- endmacro %}

{# Opening and closing times in minutes of the day, by day of the week. #}
{% macro business_hours() -%}
  {%- set setting = aircall.setting('business_hours', '{}') -%}
  {%- set days = fromjson(setting) if setting is string else setting -%}
  {%- set found = {} -%}
  {%- for day, hours in (days.items() if days is mapping else [(none, none)]) -%}
    {%- set times = [] -%}
    {%- for time in (hours if hours is sequence and hours is not string else []) -%}
      {%- if modules.re.fullmatch('([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00', time | string) -%}
        {%- do times.append(time.split(':')[0] | int * 60 + time.split(':')[1] | int) -%}
      {%- endif -%}
    {%- endfor -%}
    {%- set is_right = day | string in '1234567' | list and times | length == 2 and hours | length == 2 and times[0] < times[1] -%}
    {%- do aircall.must(aircall.names_of('business_hours'), setting, is_right, 'a day of the week (1 for Monday), and when it opens and closes: {"1": ["09:00", "18:00"]}') -%}
    {%- do found.update({day | int: times}) -%}
  {%- endfor -%}
  {{ return(found) }}
{%- endmacro %}

{# A dbt variable; if it is not set, the environment variable. #}
{% macro setting(name, default) -%}
  {{ return(var('aircall_' ~ name, env_var('DBT_AIRCALL_' ~ name | upper, '') or default)) }}
{%- endmacro %}

{% macro whole_number(name, default) -%}
  {%- set value = aircall.setting(name, default) | string -%}
  {{ return(aircall.must(aircall.names_of(name), value, modules.re.fullmatch('[0-9]{1,6}', value), 'a whole number such as ' ~ default) | int) }}
{%- endmacro %}

{% macro names_of(name) -%}
  {{ return('DBT_AIRCALL_' ~ name | upper ~ ' (aircall_' ~ name ~ ')') }}
{%- endmacro %}

{# Return a valid value, or raise an error with the names of the variable and its format. #}
{% macro must(variable, value, is_right, form) -%}
  {%- if not is_right -%}
    {{ exceptions.raise_compiler_error(variable ~ ' is ' ~ tojson(value | string) ~ ', but must be ' ~ form ~ '.') }}
  {%- endif -%}
  {{ return(value) }}
{%- endmacro %}
