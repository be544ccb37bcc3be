with transcripts as (

  select
    call_id,
    {{ aircall.listed(aircall.concatenated(["participant_type", "': '", "text"]), aircall.line_break(), "position") }} as transcript,
    count(*) as utterances,
    {{ aircall.count_if("participant_type = 'internal'") }} as utterances_of_users,
    sum(case when participant_type = 'internal' then end_seconds - start_seconds end) as user_speech_seconds,
    sum(case when participant_type = 'external' then end_seconds - start_seconds end) as customer_speech_seconds
  from {{ ref('aircall', 'stg_aircall__call_utterances') }}
  group by call_id

),

sentiments as (

  -- The worst among the external parties.
  select
    call_id,
    case min(case sentiment when 'NEGATIVE' then 1 when 'NEUTRAL' then 2 when 'POSITIVE' then 3 end)
      when 1 then 'NEGATIVE' when 2 then 'NEUTRAL' when 3 then 'POSITIVE'
    end as sentiment
  from {{ ref('aircall', 'stg_aircall__call_sentiments') }}
  group by call_id

),

topics as (

  select call_id, count(*) as topics_count, {{ aircall.listed("topic", "', '", "position") }} as topics
  from {{ ref('aircall', 'stg_aircall__call_topics') }}
  group by call_id

),

custom_summaries as (

  select
    call_id,
    {{ aircall.listed(aircall.concatenated(["section", "': '", "content"]), aircall.line_break(), "position") }} as custom_summary
  from {{ ref('aircall', 'stg_aircall__call_custom_summaries') }}
  group by call_id

),

action_items as (

  select
    call_id,
    count(*) as action_items,
    {{ aircall.count_if("completed_at is null") }} as action_items_open
  from {{ ref('aircall', 'stg_aircall__call_action_items') }}
  group by call_id

),

playbooks as (

  select call_id, avg(adherence_score) as playbook_adherence_score
  from {{ ref('aircall', 'stg_aircall__call_playbook_results') }}
  group by call_id

),

evaluations as (

  select call_id, count(*) as evaluations
  from {{ ref('aircall', 'stg_aircall__call_evaluations') }}
  group by call_id

),

found as (

  select distinct call_id
  from (
    select call_id from {{ ref('aircall', 'stg_aircall__call_transcriptions') }}
    {%- for found in ['sentiments', 'topics', 'custom_summaries', 'action_items', 'playbooks', 'evaluations'] %}
    union all
    select call_id from {{ found }}
    {%- endfor %}
    union all
    select call_id from {{ ref('aircall', 'stg_aircall__call_summaries') }}
    union all
    select call_id from {{ ref('aircall', 'stg_aircall__call_csat_predictions') }}
  ) as all_calls

)

select
  found.call_id,
  calls.call_date,
  calls.direction,
  calls.is_answered,
  calls.number_id,
  calls.main_user_id,
  calls.contact_id,
  calls.talk_seconds,
  transcriptions.type as transcript_type,
  transcriptions.language as transcript_language,
  transcripts.transcript,
  coalesce(transcripts.utterances, 0) as utterances,
  coalesce(transcripts.utterances_of_users, 0) as utterances_of_users,
  transcripts.user_speech_seconds,
  transcripts.customer_speech_seconds,
  summaries.summary,
  custom_summaries.custom_summary,
  coalesce(topics.topics_count, 0) as topics_count,
  topics.topics,
  sentiments.sentiment,
  csat_predictions.score as csat_score,
  coalesce(action_items.action_items, 0) as action_items,
  coalesce(action_items.action_items_open, 0) as action_items_open,
  playbooks.playbook_adherence_score,
  coalesce(evaluations.evaluations, 0) as evaluations
from found
inner join {{ ref('aircall', 'aircall__calls') }} as calls on calls.call_id = found.call_id
left join {{ ref('aircall', 'stg_aircall__call_transcriptions') }} as transcriptions
  on transcriptions.call_id = found.call_id
left join transcripts on transcripts.call_id = found.call_id
left join {{ ref('aircall', 'stg_aircall__call_summaries') }} as summaries on summaries.call_id = found.call_id
left join custom_summaries on custom_summaries.call_id = found.call_id
left join topics on topics.call_id = found.call_id
left join sentiments on sentiments.call_id = found.call_id
left join {{ ref('aircall', 'stg_aircall__call_csat_predictions') }} as csat_predictions
  on csat_predictions.call_id = found.call_id
left join action_items on action_items.call_id = found.call_id
left join playbooks on playbooks.call_id = found.call_id
left join evaluations on evaluations.call_id = found.call_id
