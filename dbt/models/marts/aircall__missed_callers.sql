with calls as (

  select
    calls.*,
    row_number() over (partition by caller_key order by started_at desc, call_id desc) as position
  from {{ ref('aircall', 'aircall__calls') }} as calls
  where is_missed and caller_key is not null

),

callers as (

  select
    caller_key,
    count(*) as missed_calls,
    {{ aircall.count_if("callback_status = 'waiting'") }} as missed_calls_waiting,
    {{ aircall.count_if("callback_status = 'called_back'") }} as missed_calls_called_back,
    {{ aircall.count_if("callback_status = 'called_back_late'") }} as missed_calls_called_back_late,
    {{ aircall.count_if("callback_status = 'called_again'") }} as missed_calls_answered_later,
    min(started_at) as first_missed_at,
    min(case when callback_status = 'waiting' then started_at end) as waiting_since,
    {{ aircall.count_if("callback_status = 'waiting' and has_voicemail") }} as voicemails_waiting
  from calls
  group by caller_key

)

select
  callers.caller_key,
  last_calls.raw_digits,
  last_calls.caller_e164,
  last_calls.contact_id,
  last_calls.contact_name,
  last_calls.contact_company,
  callers.missed_calls_waiting > 0 as is_waiting,
  callers.waiting_since,
  callers.missed_calls_waiting,
  callers.voicemails_waiting,
  callers.missed_calls,
  callers.missed_calls_called_back,
  callers.missed_calls_called_back_late,
  callers.missed_calls_answered_later,
  callers.first_missed_at,
  last_calls.started_at as last_missed_at,
  last_calls.started_at_local as last_missed_at_local,
  last_calls.call_id as last_missed_call_id,
  last_calls.missed_call_reason as last_missed_call_reason,
  last_calls.number_id as last_number_id,
  last_calls.number_name as last_number_name,
  last_calls.team_names as last_team_names,
  last_calls.assigned_to_id,
  last_calls.assigned_to_name
from callers
inner join calls as last_calls on last_calls.caller_key = callers.caller_key and last_calls.position = 1
