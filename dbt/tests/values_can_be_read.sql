-- Values that became null because they do not fit the type of their column, such as a cost of abc.
{{ config(severity='warn') }}
{%- set models = [
  'ai_voice_agent_sessions', 'call_action_items', 'call_ai_voice_agents', 'call_comments', 'call_counts',
  'call_csat_predictions', 'call_custom_summaries', 'call_evaluations', 'call_events', 'call_ivr_options',
  'call_participants', 'call_playbook_results', 'call_recordings', 'call_sentiments', 'call_summaries', 'call_tags',
  'call_teams', 'call_topics', 'call_transcriptions', 'call_utterances', 'calls', 'company', 'contact_emails',
  'contact_phone_numbers', 'contacts', 'deleted_objects', 'dialer_campaign_phone_numbers', 'dialer_campaigns',
  'evaluation_scorecards', 'group_messages', 'messages', 'numbers', 'playbook_topics', 'sms_templates', 'tags',
  'team_members', 'teams', 'user_availabilities', 'user_events', 'user_numbers', 'users', 'whatsapp_templates',
] %}
{%- for model in models %}
select 'stg_aircall__{{ model }}' as model, sum(unreadable_values) as unreadable_values
from {{ ref('aircall', 'stg_aircall__' ~ model) }}
having sum(unreadable_values) > 0
{{ 'union all' if not loop.last }}
{%- endfor %}
