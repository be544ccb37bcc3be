{%- set business_hours = aircall.business_hours() -%}

with events as (

  select
    call_id,
    min(case when event = 'call.ringing_on_agent' then happened_at end) as rang_at,
    max(case when event in ('call.transferred', 'call.external_transferred') then happened_at end) as transferred_at,
    max(case when event = 'call.unsuccessful_transfer' then happened_at end) as not_transferred_at
  from {{ ref('aircall', 'stg_aircall__call_events') }}
  group by call_id

),

voice_agents as (

  select
    call_id,
    -- Escalated means that the AI voice agent handed the call over to a person.
    {{ aircall.count_if("end_reason = 'escalated' or escalation_reason is not null") }} > 0 as was_escalated
  from {{ ref('aircall', 'stg_aircall__call_ai_voice_agents') }}
  group by call_id

),

calls as (

  select
    calls.*,
    {{ aircall.local_time('calls.started_at') }} as started_at_local,
    {{ aircall.phone_key('calls.raw_digits') }} as caller_key,
    calls.answered_at is not null as is_answered,
    calls.ended_at is not null as is_ended,
    calls.direction = 'inbound' and calls.answered_at is null and calls.ended_at is not null as is_missed,
    -- An event has the time of its sending, so one outside of the call is no use.
    case when events.rang_at between calls.started_at and calls.answered_at then events.rang_at end as rang_at,
    events.transferred_at,
    -- The API shows a failed transfer like a successful one.
    case
      when events.not_transferred_at is null then true
      else coalesce(events.transferred_at > events.not_transferred_at, false)
    end as was_transferred,
    coalesce(voice_agents.was_escalated, true) as was_for_people
  from {{ ref('aircall', 'stg_aircall__calls') }} as calls
  left join events on events.call_id = calls.call_id
  left join voice_agents on voice_agents.call_id = calls.call_id

),

timed as (

  select
    calls.*,
    cast(started_at_local as date) as call_date,
    cast(extract(hour from started_at_local) as integer) as call_hour,
    cast({{ aircall.day_of_week('started_at_local') }} as integer) as day_of_week,
    cast(extract(hour from started_at_local) * 60 + extract(minute from started_at_local) as integer) as minute_of_day,
    -- Of several users, Aircall shows the last. If it still shows the one who handed the call over, the main user is the
    -- one who received it. Missed calls and transferred outbound calls have no main user.
    case
      when is_missed then null
      when direction = 'outbound' and was_transferred and coalesce(transferred_by_id, transferred_to_id) is not null
        then null
      when was_transferred and transferred_to_id is not null and (user_id is null or user_id = transferred_by_id)
        then transferred_to_id
      else user_id
    end as main_user_id,
    case
      when direction = 'inbound' and is_answered
        then {{ aircall.seconds_between('coalesce(rang_at, started_at)', 'answered_at') }}
    end as time_to_answer_seconds
  from calls

)

select
  call_id,
  call_uuid,
  direction,
  status,
  case
    when direction = 'outbound' then 'outbound'
    when is_answered then 'answered'
    when not is_ended then null
    when not was_for_people then 'ai_call'
    when missed_call_reason = 'out_of_opening_hours' then 'out_of_business_hours'
    when missed_call_reason in ('abandoned_in_classic', 'abandoned_in_ivr', 'short_abandoned') then 'abandoned'
    when has_voicemail then 'voicemail'
    else 'missed'
  end as call_type,
  is_ended,
  is_answered,
  is_missed,
  case when is_missed then missed_call_reason end as missed_call_reason,
  started_at,
  answered_at,
  ended_at,
  started_at_local,
  call_date,
  call_hour,
  day_of_week,
  case
    when missed_call_reason = 'out_of_opening_hours' then false
    {%- for day, hours in business_hours.items() %}
    when day_of_week = {{ day }} then minute_of_day >= {{ hours[0] }} and minute_of_day < {{ hours[1] }}
    {%- endfor %}
    {%- if business_hours %}
    else false
    {%- else %}
    when number_availability = 'open' then true
    {%- endif %}
  end as in_business_hours,
  number_id,
  number_name,
  number_digits,
  number_country,
  user_id,
  user_name,
  main_user_id,
  case
    when main_user_id = transferred_to_id then transferred_to_name
    when main_user_id = user_id then user_name
  end as main_user_name,
  coalesce(main_user_id = user_id, main_user_id is null) as main_user_is_exact,
  assigned_to_id,
  assigned_to_name,
  case when was_transferred then transferred_by_id end as transferred_by_id,
  case when was_transferred then transferred_by_name end as transferred_by_name,
  case when was_transferred then transferred_to_id end as transferred_to_id,
  case when was_transferred then transferred_to_name end as transferred_to_name,
  case when was_transferred then transferred_at end as transferred_at,
  contact_id,
  {{ aircall.full_name('contact_first_name', 'contact_last_name') }} as contact_name,
  contact_company,
  raw_digits,
  caller_key,
  {{ aircall.e164('raw_digits', 'caller_key', 'number_country') }} as caller_e164,
  country,
  duration_seconds,
  time_to_answer_seconds,
  case when time_to_answer_seconds is not null then rang_at is null end as time_to_answer_is_upper_bound,
  time_to_answer_seconds <= {{ aircall.sla_seconds() }} as is_in_sla,
  case
    when time_to_answer_seconds is not null
      then time_to_answer_seconds > {{ aircall.sla_seconds() }} and rang_at is null
  end as is_sla_uncertain,
  case when is_answered and is_ended then {{ aircall.seconds_between('answered_at', 'ended_at') }} end as talk_seconds,
  case when is_missed then {{ aircall.seconds_between('started_at', 'ended_at') }} end as missed_after_seconds,
  has_recording,
  has_voicemail,
  is_archived,
  cost_cents,
  pricing_type
from timed
