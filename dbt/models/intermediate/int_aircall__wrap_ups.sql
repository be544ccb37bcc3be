{%- set by_user = "over (partition by user_id order by happened_at, event desc)" -%}

-- After-call work, from the events in the inbox: from `user.wut_start` to the next `user.wut_end` of the same user. It
-- belongs to the last call of the user that ended within the minute before.

with events as (

  select
    user_id,
    event,
    happened_at,
    lead(event) {{ by_user }} as next_event,
    lead(happened_at) {{ by_user }} as next_at
  from {{ ref('aircall', 'stg_aircall__user_events') }}
  where event in ('user.wut_start', 'user.wut_start.v2', 'user.wut_end', 'user.wut_end.v2')

),

periods as (

  select user_id, happened_at as began_at, {{ aircall.seconds_between('happened_at', 'next_at') }} as seconds
  from events
  where event like 'user.wut_start%' and next_event like 'user.wut_end%'

),

matched as (

  select
    calls.call_id,
    periods.seconds,
    row_number() over (
      partition by periods.user_id, periods.began_at order by calls.ended_at desc, calls.call_id desc
    ) as position
  from periods
  inner join {{ ref('aircall', 'int_aircall__calls') }} as calls
    on calls.main_user_id = periods.user_id
    and {{ aircall.seconds_between('periods.began_at', 'calls.ended_at') }} between -59 and 5

)

select call_id, cast(sum(seconds) as bigint) as wrap_up_seconds
from matched
where position = 1
group by call_id
