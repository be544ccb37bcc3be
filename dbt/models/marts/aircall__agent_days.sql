with calls as (

  select * from {{ ref('aircall', 'aircall__calls') }} where is_ended

),

handled as (

  select
    main_user_id as user_id,
    call_date,
    count(*) as handled_calls,
    {{ aircall.count_if("direction = 'inbound'") }} as answered_calls,
    {{ aircall.outbound_metrics() }},
    {{ aircall.count_if("is_callback") }} as callbacks,
    {{ aircall.count_if("is_in_sla") }} as calls_in_sla,
    {{ aircall.count_if("is_sla_uncertain") }} as calls_sla_uncertain,
    {{ aircall.sum_if("true", "time_to_answer_seconds") }} as time_to_answer_seconds_total,
    max(time_to_answer_seconds) as time_to_answer_seconds_max,
    {{ aircall.sum_if("direction = 'inbound'", "talk_seconds") }} as inbound_talk_seconds,
    max(talk_seconds) as talk_seconds_max,
    cast(sum(wrap_up_seconds) as bigint) as wrap_up_seconds,
    min(started_at_local) as first_call_at_local,
    max(started_at_local) as last_call_at_local
  from calls
  where main_user_id is not null
  group by main_user_id, call_date

),

handed_over as (

  select transferred_by_id as user_id, call_date, count(*) as handed_over_calls
  from calls
  where transferred_by_id is not null
  group by transferred_by_id, call_date

),

-- Only known from the inbox.
rung as (

  select
    user_id,
    cast({{ aircall.local_time('happened_at') }} as date) as call_date,
    {{ aircall.count_if("event = 'call.ringing_on_agent'") }} as ringing_attempts,
    {{ aircall.count_if("event = 'call.agent_declined'") }} as declined_calls
  from {{ ref('aircall', 'stg_aircall__call_events') }}
  where user_id is not null and event in ('call.ringing_on_agent', 'call.agent_declined')
  group by user_id, cast({{ aircall.local_time('happened_at') }} as date)

),

days as (

  select distinct user_id, call_date
  from (
    select user_id, call_date from handled
    union all
    select user_id, call_date from handed_over
    union all
    select user_id, call_date from rung
  ) as all_days

)

select
  days.user_id,
  days.call_date,
  users.name as user_name,
  users.is_deleted as is_deleted,
  {%- for column in [
    'handled_calls', 'answered_calls', 'outbound_calls', 'connected_calls', 'callbacks', 'calls_in_sla',
    'calls_sla_uncertain', 'time_to_answer_seconds_total', 'inbound_talk_seconds', 'outbound_talk_seconds',
  ] %}
  coalesce(handled.{{ column }}, 0) as {{ column }},
  {%- endfor %}
  coalesce(handed_over.handed_over_calls, 0) as handed_over_calls,
  handled.time_to_answer_seconds_max,
  handled.talk_seconds_max,
  handled.wrap_up_seconds,
  rung.ringing_attempts,
  rung.declined_calls,
  handled.first_call_at_local,
  handled.last_call_at_local
from days
left join handled on handled.user_id = days.user_id and handled.call_date = days.call_date
left join handed_over on handed_over.user_id = days.user_id and handed_over.call_date = days.call_date
left join rung on rung.user_id = days.user_id and rung.call_date = days.call_date
left join {{ ref('aircall', 'int_aircall__names') }} as users on users.kind = 'user' and users.id = days.user_id
