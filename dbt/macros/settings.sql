{#
  What a company sets: a variable of its dbt project, or an environment variable, which Meltano hands over.

  aircall_time_zone: where days and hours begin; an IANA name.
  aircall_sla_seconds: within how many seconds an inbound call is to be answered.
  aircall_business_hours: opening hours in that time zone by day of the week, 1 for Monday, such as
    {"1": ["09:00", "18:00"]}. Where there are none, what Aircall says of a call is all that is known.

  aircall_loader_deletes: whether the loader removes or marks what Aircall no longer has. By default that of each
    warehouse does, but for BigQuery's.

  Where the tap's streams lie says models/staging/sources.yml.
#}

{% macro time_zone() -%}
  {{ return(var('aircall_time_zone', env_var('DBT_AIRCALL_TIME_ZONE', 'UTC'))) }}
{%- endmacro %}

{% macro sla_seconds() -%}
  {{ return(var('aircall_sla_seconds', env_var('DBT_AIRCALL_SLA_SECONDS', '20')) | int) }}
{%- endmacro %}

{% macro business_hours() -%}
  {%- set hours = var('aircall_business_hours', env_var('DBT_AIRCALL_BUSINESS_HOURS', '{}')) -%}
  {{ return(fromjson(hours) if hours is string else hours) }}
{%- endmacro %}
