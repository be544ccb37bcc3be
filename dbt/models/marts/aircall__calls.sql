with teams as (

  select
    call_teams.call_id,
    count(*) as teams_count,
    {{ aircall.listed("names.name", "', '", "names.name, names.id") }} as team_names
  from (select distinct call_id, team_id from {{ ref('aircall', 'stg_aircall__call_teams') }}) as call_teams
  inner join {{ ref('aircall', 'int_aircall__names') }} as names
    on names.kind = 'team' and names.id = call_teams.team_id
  group by call_teams.call_id

),

users as (

  select id, name from {{ ref('aircall', 'int_aircall__names') }} where kind = 'user'

),

followed as (

  select
    callbacks.*,
    case
      when called_back_at is null and answered_again_at is null then 'waiting'
      when answered_again_at < called_back_at or called_back_at is null then 'called_again'
      when called_back_after_seconds > {{ aircall.callback_hours() * 3600 }} then 'called_back_late'
      else 'called_back'
    end as callback_status
  from {{ ref('aircall', 'int_aircall__callbacks') }} as callbacks

),

returned as (

  select distinct callback_call_id as call_id from followed where callback_status = 'called_back'

)

select
  calls.call_id,
  calls.call_uuid,
  calls.direction,
  calls.status,
  calls.call_type,
  calls.is_ended,
  calls.is_answered,
  calls.is_missed,
  calls.missed_call_reason,
  calls.started_at,
  calls.answered_at,
  calls.ended_at,
  calls.started_at_local,
  calls.call_date,
  calls.call_hour,
  calls.day_of_week,
  calls.in_business_hours,
  calls.number_id,
  numbers.name as number_name,
  calls.number_digits,
  calls.number_country,
  calls.user_id,
  callers.name as user_name,
  calls.main_user_id,
  main_users.name as main_user_name,
  calls.main_user_is_exact,
  calls.assigned_to_id,
  assignees.name as assigned_to_name,
  calls.transferred_by_id,
  transferring.name as transferred_by_name,
  calls.transferred_to_id,
  receiving.name as transferred_to_name,
  coalesce(teams.teams_count, 0) as teams_count,
  teams.team_names,
  calls.contact_id,
  coalesce({{ aircall.full_name('contacts.first_name', 'contacts.last_name') }}, calls.contact_name) as contact_name,
  coalesce(contacts.company_name, calls.contact_company) as contact_company,
  calls.raw_digits,
  calls.caller_key,
  calls.caller_e164,
  calls.country,
  calls.duration_seconds,
  calls.time_to_answer_seconds,
  calls.time_to_answer_is_upper_bound,
  calls.is_in_sla,
  calls.is_sla_uncertain,
  calls.talk_seconds,
  calls.missed_after_seconds,
  wrap_ups.wrap_up_seconds,
  callbacks.callback_call_id,
  callbacks.called_back_at,
  callbacks.called_back_after_seconds,
  callbacks.called_back_by_id,
  callback_users.name as called_back_by_name,
  callbacks.callback_was_answered,
  callbacks.called_again_call_id,
  callbacks.called_again_at,
  callbacks.called_again_after_seconds,
  callbacks.answered_again_at,
  callbacks.answered_again_by_id,
  answering_users.name as answered_again_by_name,
  callbacks.callback_status,
  returned.call_id is not null as is_callback,
  calls.has_recording,
  calls.has_voicemail,
  calls.is_archived,
  calls.cost_cents,
  calls.pricing_type
from {{ ref('aircall', 'int_aircall__calls') }} as calls
left join teams on teams.call_id = calls.call_id
left join {{ ref('aircall', 'int_aircall__names') }} as numbers
  on numbers.kind = 'number' and numbers.id = calls.number_id
left join users as callers on callers.id = calls.user_id
left join users as main_users on main_users.id = calls.main_user_id
left join users as assignees on assignees.id = calls.assigned_to_id
left join users as transferring on transferring.id = calls.transferred_by_id
left join users as receiving on receiving.id = calls.transferred_to_id
left join {{ ref('aircall', 'stg_aircall__contacts') }} as contacts on contacts.contact_id = calls.contact_id
left join {{ ref('aircall', 'int_aircall__wrap_ups') }} as wrap_ups on wrap_ups.call_id = calls.call_id
left join followed as callbacks on callbacks.call_id = calls.call_id
left join returned on returned.call_id = calls.call_id
left join users as callback_users on callback_users.id = callbacks.called_back_by_id
left join users as answering_users on answering_users.id = callbacks.answered_again_by_id
