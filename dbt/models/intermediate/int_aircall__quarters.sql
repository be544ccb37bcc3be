-- The states of users, and the ended calls (rows without a user), split at quarter hours. Quarter hours begin at the
-- same time in every time zone, so hours and days in any zone can be added up from them. No row exceeds a day.

with stretches as (

  select
    user_id, state, away_reason, is_presence_known,
    {{ aircall.epoch('began_at') }} as began, {{ aircall.epoch('ended_at') }} as ended
  from {{ ref('aircall', 'int_aircall__agent_states') }}
  where state <> 'offline'
  union all
  select
    null, 'call', null, null, {{ aircall.epoch('started_at') }},
    least({{ aircall.epoch('greatest(started_at, ended_at)') }}, {{ aircall.epoch('started_at') }} + 86400)
  from {{ ref('aircall', 'int_aircall__calls') }}
  where started_at is not null and ended_at is not null

),

quarters as (

  select stretches.*, {{ aircall.quarter_of('began') }} + 900 * steps.step as quarter
  from stretches
  inner join (
    {%- for step in range(97) %}
    select {{ step }} as step{{ ' union all' if not loop.last }}
    {%- endfor %}
  ) as steps
    on {{ aircall.quarter_of('began') }} + 900 * steps.step <= greatest(began, ended - 1)

)

select
  user_id,
  state,
  away_reason,
  is_presence_known,
  quarter,
  {{ aircall.local_time(aircall.time_at('quarter')) }} as quarter_starts_at_local,
  greatest(began, quarter) as began,
  least(ended, quarter + 900) as ended
from quarters
