{%- set so_far = "over (partition by user_id order by second)" -%}

-- The states of users, each from one signal to the next. Signals are calls, events from the inbox, and polls of
-- availabilities, which make up for lost events. Without a next signal, a state ends after a day.

with calls as (

  -- An outbound call occupies its user from its start. A user who handed a call over was on it until then.
  select
    *,
    case when direction = 'outbound' then started_at else answered_at end as began_at,
    case
      when transferred_by_id <> coalesce(main_user_id, transferred_to_id)
        and transferred_at between answered_at and coalesce(ended_at, transferred_at)
        then transferred_at
    end as handed_over_at
  from {{ ref('aircall', 'int_aircall__calls') }}

),

talks as (

  select coalesce(main_user_id, user_id) as user_id, began_at, ended_at from calls where handed_over_at is null
  union all
  select transferred_by_id, began_at, handed_over_at from calls where handed_over_at is not null
  union all
  select coalesce(main_user_id, transferred_to_id), handed_over_at, ended_at from calls where handed_over_at is not null

),

events as (

  select user_id, happened_at, substatus, {{ aircall.without('event', '[.]v2$') }} as event
  from {{ ref('aircall', 'stg_aircall__user_events') }}

),

signs as (

  -- Null stands for what a signal does not tell, an empty reason for no reason.
  select
    user_id, {{ aircall.epoch('began_at') }} as second, 'call' as told_by, 1 as calls, 1 as begins,
    cast(null as integer) as is_online, cast(null as integer) as is_open, cast(null as integer) as is_after_call,
    {{ aircall.typed('null', 'text') }} as reason
  from talks
  where began_at is not null
  union all
  select user_id, {{ aircall.epoch('ended_at') }}, 'call', -1, 0, null, null, null, null
  from talks
  where began_at is not null and ended_at is not null
  union all
  select
    user_id, {{ aircall.epoch('happened_at') }}, 'event', 0, 0,
    case when event = 'user.connected' then 1 when event in ('user.disconnected', 'user.deleted') then 0 end,
    case event when 'user.opened' then 1 when 'user.closed' then 0 end,
    case
      when event = 'user.wut_start' then 1
      when event in ('user.wut_end', 'user.disconnected', 'user.deleted') then 0
    end,
    case event when 'user.opened' then '' when 'user.closed' then coalesce(substatus, '') end
  from events
  where event <> 'user.created' and happened_at is not null
  union all
  select
    user_id, {{ aircall.epoch('seen_at') }}, 'poll', 0, 0,
    case when availability = 'offline' then 0 else 1 end,
    case availability when 'available' then 1 when 'do_not_disturb' then 0 end,
    case when availability = 'after_call_work' then 1 else 0 end,
    case when availability = 'available' then '' end
  from {{ ref('aircall', 'stg_aircall__user_availabilities') }}
  where availability is not null and seen_at is not null

),

seconds as (

  -- Events of the same second have no order. Two that contradict each other change nothing.
  select
    user_id,
    second,
    min(case when told_by <> 'call' then told_by end) as told_by,
    sum(calls) as calls,
    case when min(is_online) = max(is_online) then max(is_online) end as is_online,
    case when min(is_open) = max(is_open) then max(is_open) end as is_open,
    case when max(begins) = 1 then 0 when min(is_after_call) = max(is_after_call) then max(is_after_call) end as is_after_call,
    max(reason) as reason
  from signs
  where user_id is not null
  group by user_id, second

),

followed as (

  -- The latest value so far is the last binary digit of the greatest number so far.
  select
    user_id,
    second,
    coalesce(told_by, 'call') as told_by,
    least(coalesce(lead(second) {{ so_far }}, max(second) over ()), second + 86400) as next_second,
    sum(calls) {{ so_far }} as calls,
    max(case when told_by is not null then second end) {{ so_far }} as told_second,
    mod(max(case when is_online is not null then second * 2 + is_online end) {{ so_far }}, 2) as is_online,
    mod(max(case when is_open is not null then second * 2 + is_open end) {{ so_far }}, 2) as is_open,
    mod(max(case when is_after_call is not null then second * 2 + is_after_call end) {{ so_far }}, 2) as is_after_call,
    max(case when is_open is not null and reason is not null then second end) {{ so_far }} as reason_second
  from seconds

),

states as (

  select
    *,
    case
      when calls > 0 then 'on_call'
      when told_second is null then null
      when is_after_call = 1 then 'after_call_work'
      when is_online = 0 then 'offline'
      when is_open = 0 then 'away'
      else 'available'
    end as state
  from followed
  where second < next_second

)

select
  states.user_id,
  states.state,
  case when states.state = 'away' then nullif(reasons.reason, '') end as away_reason,
  states.told_by,
  states.told_second is not null as is_presence_known,
  {{ aircall.time_at('states.second') }} as began_at,
  {{ aircall.time_at('states.next_second') }} as ended_at
from states
left join seconds as reasons on reasons.user_id = states.user_id and reasons.second = states.reason_second
where states.state is not null
