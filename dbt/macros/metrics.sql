{# Figures of a group of calls, for the marts by day and hour. Ongoing calls are not counted. #}
{% macro inbound_metrics() %}
  {{ aircall.count_if("direction = 'inbound'") }} as inbound_calls,
  {{ aircall.count_if("direction = 'inbound' and is_answered") }} as answered_calls,
  {{ aircall.count_if("is_missed") }} as missed_calls,
  {%- for reason in [
    'out_of_opening_hours', 'short_abandoned', 'abandoned_in_ivr', 'abandoned_in_classic', 'no_available_agent',
    'agents_did_not_answer',
  ] %}
  {{ aircall.count_if("is_missed and missed_call_reason = '" ~ reason ~ "'") }} as missed_{{ reason }},
  {%- endfor %}
  {{ aircall.count_if("is_missed and has_voicemail") }} as voicemails,
  {{ aircall.count_if("callback_status in ('called_back', 'called_again')") }} as missed_and_reached_later,
  {{ aircall.count_if("callback_status = 'waiting'") }} as missed_and_waiting,
  {{ aircall.count_if("is_in_sla") }} as calls_in_sla,
  {{ aircall.count_if("is_sla_uncertain") }} as calls_sla_uncertain,
  {{ aircall.sum_if("true", "time_to_answer_seconds") }} as time_to_answer_seconds_total,
  max(time_to_answer_seconds) as time_to_answer_seconds_max,
  {{ aircall.sum_if("direction = 'inbound'", "talk_seconds") }} as inbound_talk_seconds
{%- endmacro %}

{% macro outbound_metrics() %}
  {{ aircall.count_if("direction = 'outbound'") }} as outbound_calls,
  {{ aircall.count_if("direction = 'outbound' and is_answered") }} as connected_calls,
  {{ aircall.sum_if("direction = 'outbound'", "talk_seconds") }} as outbound_talk_seconds
{%- endmacro %}

{# Seconds that users spent in each state, for a group of rows of int_aircall__quarters; null if only calls are known. #}
{% macro state_seconds() %}
  {%- set is_known = aircall.count_if("is_presence_known") ~ " > 0" %}
  {{ is_known }} as is_presence_known,
  {{ aircall.sum_if("state = 'on_call'", "ended - began") }} as on_call_seconds
  {%- for state in ['after_call_work', 'available', 'away'] %},
  case when {{ is_known }} then {{ aircall.sum_if("state = '" ~ state ~ "'", "ended - began") }} end as {{ state }}_seconds
  {%- endfor %}
{%- endmacro %}

{# Busy time as a share of busy and free time, from 0 to 1. #}
{% macro occupancy() -%}
  {%- set busy = aircall.typed("on_call_seconds + after_call_work_seconds", 'number') -%}
  {{ return(busy ~ " / nullif(on_call_seconds + after_call_work_seconds + available_seconds, 0)") }}
{%- endmacro %}
