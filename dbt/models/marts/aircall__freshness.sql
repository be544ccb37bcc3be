{%- do ref('aircall', 'stg_aircall__calls') -%}
{%- do aircall.check_source() -%}
{%- set streams = {
  'calls': 'started_at',
  'contacts': 'updated_at',
  'users': none,
  'user_availabilities': none,
  'user_numbers': none,
  'teams': none,
  'numbers': none,
  'tags': none,
  'company': none,
  'dialer_campaigns': none,
  'dialer_campaign_phone_numbers': none,
  'sms_templates': none,
  'whatsapp_templates': none,
  'call_transcriptions': none,
  'call_sentiments': none,
  'call_topics': 'created_at',
  'call_summaries': 'created_at',
  'call_custom_summaries': 'created_at',
  'call_action_items': 'updated_at',
  'call_playbook_results': 'created_at',
  'call_evaluations': 'updated_at',
  'call_csat_predictions': none,
  'call_recordings': none,
  'call_counts': 'counted_at',
  'messages': 'created_at',
  'group_messages': 'created_at',
  'ai_voice_agent_sessions': 'started_at',
  'call_events': 'happened_at',
  'user_events': 'happened_at',
  'deleted_objects': 'deleted_at',
} -%}


select streams.*, max(loaded_at) over () as last_load_at
from (
{%- for stream, latest in streams.items() %}
{%- set relation = aircall.loaded(stream) %}
{%- set columns = aircall.loaded_columns(relation) %}
select
  '{{ stream }}' as stream,
  {{ 'true' if relation else 'false' }} as is_loaded,
  {{ 'count(*)' if relation else '0' }} as row_count,
  {%- for time, name in [
    [latest, 'latest_record_at'], ['_sdc_extracted_at', 'extracted_at'], ['_sdc_batched_at', 'loaded_at']
  ] %}
  {%- set column = columns.get(time) %}
  {{ 'max(' ~ aircall.time_in(column) ~ ')' if column else aircall.nothing('time') }} as {{ name }}
  {{- ',' if not loop.last }}
  {%- endfor %}
{%- if relation %}
from {{ relation }} as source
{%- endif %}
{{ 'union all' if not loop.last }}
{%- endfor %}
) as streams
