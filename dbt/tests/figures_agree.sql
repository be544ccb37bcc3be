-- Figures of the marts that differ from the same figures counted from the calls.
{%- set figures = {
  'inbound_calls': ["direction = 'inbound'", '1'],
  'answered_calls': ["direction = 'inbound' and is_answered", '1'],
  'missed_calls': ["is_missed", '1'],
  'voicemails': ["is_missed and has_voicemail", '1'],
  'missed_and_reached_later': ["callback_status in ('called_back', 'called_again')", '1'],
  'missed_and_waiting': ["callback_status = 'waiting'", '1'],
  'voicemails_waiting': ["callback_status = 'waiting' and has_voicemail", '1'],
  'calls_in_sla': ["is_in_sla", '1'],
  'calls_sla_uncertain': ["is_sla_uncertain", '1'],
  'time_to_answer_seconds_total': ["true", 'time_to_answer_seconds'],
  'inbound_talk_seconds': ["direction = 'inbound'", 'talk_seconds'],
  'outbound_calls': ["direction = 'outbound'", '1'],
  'connected_calls': ["direction = 'outbound' and is_answered", '1'],
  'outbound_talk_seconds': ["direction = 'outbound'", 'talk_seconds'],
  'callbacks': ["is_callback", '1'],
} %}
{%- set inbound = [
  'inbound_calls', 'answered_calls', 'missed_calls', 'voicemails', 'missed_and_reached_later', 'missed_and_waiting',
  'calls_in_sla', 'calls_sla_uncertain', 'time_to_answer_seconds_total', 'inbound_talk_seconds',
] %}
{%- set outbound = ['outbound_calls', 'connected_calls', 'outbound_talk_seconds'] %}
{%- set of_callers = {
  'missed_calls': 'missed_calls',
  'missed_calls_waiting': 'missed_and_waiting',
  'voicemails_waiting': 'voicemails_waiting',
  'missed_calls_called_back + missed_calls_answered_later': 'missed_and_reached_later',
} %}
{%- for mart, columns, which in [
  ('hours', inbound + outbound, 'true'),
  ('concurrency', ['inbound_calls', 'missed_calls'], 'true'),
  ('number_days', inbound + outbound, 'calls.number_id is not null'),
  ('agent_days', inbound[1:2] + inbound[6:] + outbound + ['callbacks'], 'calls.main_user_id is not null'),
  ('contacts', inbound[:3] + inbound[5:6] + inbound[9:] + outbound, 'contacts.contact_id is not null'),
  ('missed_callers', of_callers, 'calls.caller_key is not null'),
] %}
select 'aircall__{{ mart }}' as mart, {% for column in columns -%}
  case when in_mart.figure_{{ loop.index }} <> in_calls.figure_{{ loop.index }} then '{{ column }} ' else '' end
  {{- ' || ' if not loop.last }}
  {%- endfor %} as figures
from (
  select {% for column in columns -%}
    coalesce(sum({{ column }}), 0) as figure_{{ loop.index }}{{ ', ' if not loop.last }}
    {%- endfor %}
  from {{ ref('aircall', 'aircall__' ~ mart) }}
) as in_mart
cross join (
  select {% for column in columns -%}
    {%- set condition, value = figures[columns[column] if columns is mapping else column] -%}
    coalesce(sum(case when {{ condition }} then {{ value }} end), 0) as figure_{{ loop.index }}{{ ', ' if not loop.last }}
    {%- endfor %}
  from {{ ref('aircall', 'aircall__calls') }} as calls
  left join {{ ref('aircall', 'aircall__contacts') }} as contacts on contacts.contact_id = calls.contact_id
  where calls.is_ended and {{ which }}
) as in_calls
where {% for column in columns -%}
  in_mart.figure_{{ loop.index }} <> in_calls.figure_{{ loop.index }}{{ ' or ' if not loop.last }}
  {%- endfor %}
{{ 'union all' if not loop.last }}
{%- endfor %}
